"""Full emulation: one chip a file, each an imitation of the real part's registers."""
