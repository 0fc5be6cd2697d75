"""Network cards by full emulation, one a room."""
