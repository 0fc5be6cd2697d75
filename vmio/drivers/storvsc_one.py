"""One request at a time, for simple programs: on any queue of a split disk."""

from collections.abc import Callable

from vmio.drivers.contracts import Reaped
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu


class OneAtATime:
    """What a queue has besides that needs no more than its `submit`, `flush_ring` and `until`."""

    cpu: VCpu
    submit: Callable[..., None]
    flush_ring: Callable[[], None]
    until: Callable[..., Steps[None]]

    def read(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Read to memory at `gpa`; `ScsiError` if it fails."""
        yield from self._one("read", lba, sectors, gpa)

    def write(self, lba: int, sectors: int, gpa: int) -> Steps[None]:
        """Write from memory at `gpa`."""
        yield from self._one("write", lba, sectors, gpa)

    def flush(self) -> Steps[None]:
        """All that was written is on the medium when this returns."""
        yield from self._one("flush", 0, 0, 0)

    def _one(self, op: str, lba: int, sectors: int, gpa: int) -> Steps[None]:
        box: list[Reaped] = []
        yield from self.cpu.pay()
        self.submit(op, lba, sectors, gpa, f"{op} of {sectors} sectors at LBA {lba}", box.append)
        self.flush_ring()
        yield from self.until(lambda: box, op)
        if box[0][1] is not None:
            raise box[0][1]
