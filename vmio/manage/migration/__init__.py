"""Live migration: a guest moves from one host to another while it runs."""
