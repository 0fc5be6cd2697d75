"""The host's matrix engine: given away by functions, or kept and shared as a service."""
