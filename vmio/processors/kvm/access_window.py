"""Guest pages reached by loads and stores of a vCPU, one by one, where they can be recorded (see `machine/window.py`)."""

from vmio.machine.memory import PAGE


class AccessWindow:
    """A `Window` whose every use is an access of `cpu`."""

    def __init__(self, cpu, pages):
        self.cpu, self.pages, self.size = cpu, tuple(pages), len(pages) * PAGE

    def _parts(self, offset, length):
        end = offset + length
        while offset < end:
            n = min(PAGE - offset % PAGE, end - offset)
            yield self.pages[offset // PAGE] * PAGE + offset % PAGE, n
            offset += n

    def read(self, offset, length):
        return b"".join([self.cpu.read(gpa, n) for gpa, n in self._parts(offset, length)])

    def write(self, offset, data):
        at = 0
        for gpa, n in self._parts(offset, len(data)):
            self.cpu.write(gpa, bytes(data[at:at + n]))
            at += n

    def load32(self, offset):
        return self.cpu.load(self.pages[offset // PAGE] * PAGE + offset % PAGE, 4)

    def store32(self, offset, value):
        self.cpu.store(self.pages[offset // PAGE] * PAGE + offset % PAGE, 4, value)

    def indices(self):
        return tuple(self.load32(offset) for offset in range(0, 16, 4))
