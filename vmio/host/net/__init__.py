"""The host's network: a virtual switch, its ports and their rules, and the physical port behind it."""
