"""Confidential guests: memory that the host can't read, and the pages that a guest lets it see."""
