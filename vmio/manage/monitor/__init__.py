"""Watching guests that run: what is counted, and the forms in which people read it."""
