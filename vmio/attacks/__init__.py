"""Attacks by a guest on everything that is not its own, each run with the defence on and with it off."""
