"""Guest pages reached by loads and stores of a vCPU, one by one, where they can be recorded (see `machine/window.py`)."""

from collections.abc import Iterator, Sequence

from vmio.hypervisor.contracts import Cpu
from vmio.machine.contracts import Buffer
from vmio.machine.memory import PAGE


class AccessWindow:
    """A `Window` whose every use is an access of `cpu`."""

    def __init__(self, cpu: Cpu, pages: Sequence[int]) -> None:
        self.cpu, self.pages, self.size = cpu, tuple(pages), len(pages) * PAGE

    def _parts(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        end = offset + length
        while offset < end:
            n = min(PAGE - offset % PAGE, end - offset)
            yield self.pages[offset // PAGE] * PAGE + offset % PAGE, n
            offset += n

    def read(self, offset: int, length: int) -> bytes:
        return b"".join([self.cpu.read(gpa, n) for gpa, n in self._parts(offset, length)])

    def write(self, offset: int, data: Buffer) -> None:
        at = 0
        for gpa, n in self._parts(offset, len(data)):
            self.cpu.write(gpa, bytes(data[at:at + n]))
            at += n

    def load32(self, offset: int) -> int:
        return self.cpu.load(self.pages[offset // PAGE] * PAGE + offset % PAGE, 4)

    def store32(self, offset: int, value: int) -> None:
        self.cpu.store(self.pages[offset // PAGE] * PAGE + offset % PAGE, 4, value)

    def indices(self) -> tuple[int, int, int, int]:
        return self.load32(0), self.load32(4), self.load32(8), self.load32(12)
