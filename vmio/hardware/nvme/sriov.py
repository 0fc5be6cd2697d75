"""SR-IOV on the NVMe controller: one physical function that makes many small controllers of itself.

A virtual function (VF) has its own registers, queues and MSI-X, so a guest can drive it
alone, and its own part of the medium as its namespace.  It has no way to touch another's,
and the time of the medium they share by turns (`arbiter`).  Switching them on and off is
every SR-IOV function's (`devices/pci/sriov`).
"""

from collections.abc import Callable, Mapping, Sequence

from vmio.devices.pci.bar import Bar
from vmio.devices.pci.sriov import Sriov
from vmio.hardware.nvme.arbiter import Arbiter, Port
from vmio.hardware.nvme.contracts import At
from vmio.hardware.nvme.controller import BAR_BYTES, NvmeController
from vmio.hardware.nvme.pci import DEVICE_ID, NvmeFunction
from vmio.machine.contracts import Buffer, SectorStore, Sectors
from vmio.machine.media.medium import serial_of

MAX_FUNCTIONS = 64


class Partition:
    """`sectors` of `image` from `first` on, as a medium of its own: what a VF has as its namespace."""

    def __init__(self, image: SectorStore, first: int, sectors: int) -> None:
        if not 0 <= first <= first + sectors <= image.sectors or not sectors:
            raise ValueError(f"partition of {sectors} sectors at {first}: the medium has {image.sectors}")
        self.image, self.first, self.sectors = image, first, sectors
        self.name = f"{image.name}, {sectors} sectors from {first}"

    def read(self, lba: int, count: int = 1) -> Sectors:
        """`count` sectors from `lba`; ValueError beyond the last of ours."""
        self._check(lba, count)
        return self.image.read(self.first + lba, count)

    def write(self, lba: int, data: Buffer) -> None:
        """Store whole sectors from `lba` on."""
        self._check(lba, len(data) // 512)
        self.image.write(self.first + lba, data)

    def discard(self, lba: int, count: int) -> None:
        """Make sectors of this part read as zeros; ValueError beyond its last one."""
        self._check(lba, count)
        self.image.discard(self.first + lba, count)

    def persist(self, lba: int, count: int) -> None:
        """Push what was written to these sectors to the medium; ValueError beyond the last of ours."""
        self._check(lba, count)
        self.image.persist(self.first + lba, count)

    def flush(self) -> None:
        """Push what was written to the medium."""
        self.image.flush()

    def _check(self, lba: int, count: int) -> None:
        if not 0 <= lba <= lba + count <= self.sectors:
            raise ValueError(f"{self.name}: sectors {lba} to {lba + count - 1}")


class VirtualController(NvmeController):
    """A VF's: `service`, unless it is None, is a `Port` of the arbiter."""

    service: Port | None

    def forget(self) -> None:
        """Drop what is under way, also what waits at the port."""
        super().forget()
        if self.service is not None:
            self.service.forget()


class VirtualFunction(NvmeFunction):
    """The configuration space of one VF's `controller`, which serves `controller.image`.

    The specification leaves vendor and device id FFFFh and has software fill in
    the physical function's; that is done here already.  A VF has no INTx pin.
    """

    device: VirtualController

    def __init__(self, controller: VirtualController) -> None:
        super().__init__(controller, pin=0)

    def arrived(self, ns: int) -> None:
        """The guest's next store was made at `ns`."""
        if self.device.service is not None:
            self.device.service.arrived(ns)


class PhysicalFunction(NvmeFunction):
    """An NVMe function that can make up to `total` virtual ones, in equal parts of its medium.

    `sriov.functions` are those there are now.  `parts` cuts the medium for the VF count
    that software chose: `parts(image, count)` gives a list of media (default: equal parts).
    `window` {kind: sectors} and `at` are the arbiter's: without a window the medium serves
    who comes first.  The physical function's own commands wait for nobody, as who has it
    manages the disk; with `weights` (its own, then those of the virtual ones) all take turns.
    """

    def __init__(self, controller: NvmeController, total: int = 8,
                 parts: Callable[[SectorStore, int], Sequence[SectorStore]] | None = None,
                 window: Mapping[str, int] | None = None, at: At | None = None, weights: Sequence[int] = ()) -> None:
        if not 1 <= total <= MAX_FUNCTIONS:
            raise ValueError(f"virtual functions: total {total}; 1 to {MAX_FUNCTIONS}")
        self._parts, self._weights = parts or equal_parts, weights
        self.arbiter = Arbiter(controller.service, window or {}, at)  # type: ignore[arg-type]  # without one there is no `Port`
        if weights and controller.service is not None:
            controller.service = Port(self.arbiter, weights[0])
        self.sriov = Sriov(self._make, total, DEVICE_ID, {0: Bar(BAR_BYTES, wide=True)})
        super().__init__(controller, extended=[self.sriov])

    def _make(self, count: int) -> list[VirtualFunction]:
        """The virtual functions, each with its part of the medium."""
        return [VirtualFunction(self._controller(number, medium))
                for number, medium in enumerate(self._parts(self.device.image, count))]

    def _controller(self, number: int, medium: SectorStore) -> VirtualController:
        own = self.device
        weight = self._weights[1 + number] if 1 + number < len(self._weights) else 1
        service = None if own.service is None else Port(self.arbiter, weight)
        return VirtualController(own.clock, own.memory, medium, lambda vector: None, service,
                                 serial=serial_of(medium, f"VMIOVF{number:02}"), fetch_ns=own.fetch_ns)


def equal_parts(image: SectorStore, count: int) -> list[Partition]:
    """`count` `Partition`s of one size; ValueError if there are fewer sectors than that."""
    each = image.sectors // count
    return [Partition(image, n * each, each) for n in range(count)]
