class Slot:
    def __init__(self, shared):
        self.shared = shared

    def fill(self, data):
        """Put the guest's data where the other side finds it, and nothing else."""
        self.shared[:] = bytes(data).ljust(len(self.shared), b"\0")

    def take(self, buffer, written):
        """Put what the other side has written into the guest's buffer."""
        good = max(0, min(written, len(buffer)))
        buffer[:good] = self.shared[:good]
