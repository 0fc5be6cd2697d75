class Slot:
    """Leaves the rest of a slot as it is, and copies the whole buffer back."""

    def __init__(self, shared):
        self.shared = shared

    def fill(self, data):
        """Put the guest's data where the other side finds it, and nothing else."""
        self.shared[:len(data)] = data

    def take(self, buffer, written):
        """Put what the other side has written into the guest's buffer."""
        buffer[:] = self.shared[:len(buffer)]
