"""Who executes a guest's instructions, where that is not a Python generator."""
