"""Ethernet below every network card: what a frame is, a port and what is plugged into it, a cable, captures in files."""
