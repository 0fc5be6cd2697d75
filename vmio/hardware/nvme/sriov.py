"""SR-IOV on the NVMe controller: one physical function that makes many small controllers of itself.

A virtual function (VF) has its own requester id, so the IOMMU tells it from the
others; its own registers, queues and MSI-X, so a guest can drive it alone; and, here,
its own part of the medium as its namespace.  It has no way to touch another's, and
the time of the medium they share by turns (`nvme_arbiter`).
Source: PCI Express SR-IOV 1.1, 2.1.2 "VF Discovery", 3.3 "SR-IOV Extended Capability".
"""

from vmio.devices.pci.config import CONFIG_BYTES, INTERRUPT_PIN
from vmio.hardware.nvme.arbiter import Arbiter, Port
from vmio.hardware.nvme.controller import NvmeController
from vmio.hardware.nvme.pci import NvmeFunction

# 3.3: the capability, at the start of the extended configuration space, and offsets in it
CAPABILITY, LENGTH = 0x100, 0x40
HEADER, CONTROL, INITIAL, TOTAL, NUMBER, OFFSET, STRIDE, DEVICE, PAGE_SIZES, PAGE_SIZE = (
    0x00, 0x08, 0x0C, 0x0E, 0x10, 0x14, 0x16, 0x1A, 0x1C, 0x20)
ENABLE, MEMORY_ENABLE = 1 << 0, 1 << 3          # of CONTROL
FIRST_OFFSET, VF_STRIDE = 0x80, 1               # requester id of VF n: the physical function's + 80h + n
MOST_FUNCTIONS = 64


class Partition:
    """`sectors` of `image` from `first` on, as a medium of its own: what a VF has as its namespace."""

    def __init__(self, image, first, sectors):
        if not 0 <= first <= first + sectors <= image.sectors or not sectors:
            raise ValueError(f"partition of {sectors} sectors at {first}: the medium has {image.sectors}")
        self.image, self.first, self.sectors = image, first, sectors
        self.name = f"{image.name}, {sectors} sectors from {first}"

    def read(self, lba, count=1):
        """`count` sectors from `lba`; ValueError beyond the last of ours."""
        self._check(lba, count)
        return self.image.read(self.first + lba, count)

    def write(self, lba, data):
        """Store whole sectors from `lba` on."""
        self._check(lba, len(data) // 512)
        self.image.write(self.first + lba, data)

    def discard(self, lba, count):
        """Make sectors of this part read as zeros; ValueError beyond its last one."""
        self._check(lba, count)
        self.image.discard(self.first + lba, count)

    def persist(self, lba, count):
        """Push what was written to these sectors to the medium; ValueError beyond the last of ours."""
        self._check(lba, count)
        self.image.persist(self.first + lba, count)

    def flush(self):
        """Push what was written to the medium."""
        self.image.flush()

    def _check(self, lba, count):
        if not 0 <= lba <= lba + count <= self.sectors:
            raise ValueError(f"{self.name}: sectors {lba} to {lba + count - 1}")


class VirtualController(NvmeController):
    """A VF's: `service`, unless it is None, is a `Port` of the arbiter."""

    def forget(self):
        """Drop what is under way, also what waits at the port."""
        super().forget()
        if self.service is not None:
            self.service.forget()


class VirtualFunction(NvmeFunction):
    """VF `number`: the configuration space of `controller`, which serves `controller.image`.

    The specification leaves vendor and device id FFFFh and has software fill in
    the physical function's; that is done here already.  A VF has no INTx pin.
    """

    def __init__(self, controller, number, requester_offset):
        super().__init__(controller)
        self.number, self.requester_offset = number, requester_offset
        self.power_on[INTERRUPT_PIN] = self.config[INTERRUPT_PIN] = 0


class PhysicalFunction(NvmeFunction):
    """An NVMe function that can make up to `total` virtual ones, in equal parts of its medium.

    `functions` are those there are now.  `parts` cuts the medium for the VF count
    that software chose: `parts(image, count)` gives a list of media (default: equal parts).
    `window` {kind: sectors} and `at` are the arbiter's: without a window the medium serves
    who comes first.  The physical function's own commands wait for nobody: who has it
    manages the disk.
    """

    def __init__(self, controller, total=8, intx=None, on_bar=None, parts=None, window=None, at=None):
        if not 1 <= total <= MOST_FUNCTIONS:
            raise ValueError(f"virtual functions: total {total}; 1 to {MOST_FUNCTIONS}")
        self.total, self.functions = total, []
        self._parts = parts or equal_parts
        self.arbiter = Arbiter(controller.service, window or {}, at)
        super().__init__(controller, intx, on_bar)
        self.extended = bytearray(LENGTH)
        self._reset_extended()

    def _reset_extended(self):
        self.extended[:] = bytes(LENGTH)
        for offset, size, value in ((HEADER, 4, 0x0001_0010), (INITIAL, 2, self.total), (TOTAL, 2, self.total),
                                    (OFFSET, 2, FIRST_OFFSET), (STRIDE, 2, VF_STRIDE), (DEVICE, 2, 0x0010),
                                    (PAGE_SIZES, 4, 0x553), (PAGE_SIZE, 4, 1)):
            self.extended[offset:offset + size] = value.to_bytes(size, "little")

    def read(self, offset, size):
        """Configuration bytes; above 100h the SR-IOV capability."""
        if CONFIG_BYTES <= offset < CAPABILITY + LENGTH:
            return int.from_bytes(self.extended[offset - CAPABILITY:][:size], "little")
        return super().read(offset, size)

    def write(self, offset, size, value):
        """Write; of the capability, control (VF enable) and the number of VFs, which is fixed while they are enabled."""
        if not CONFIG_BYTES <= offset < CAPABILITY + LENGTH:
            super().write(offset, size, value)
            return
        at, enabled = offset - CAPABILITY, bool(self.extended[CONTROL] & ENABLE)
        if at == CONTROL:
            self.extended[CONTROL] = value & (ENABLE | MEMORY_ENABLE)
            self._follow(enabled)
        elif at == NUMBER and size >= 2 and not enabled:
            self.extended[NUMBER:NUMBER + 2] = min(value & 0xFFFF, self.total).to_bytes(2, "little")

    def reset(self):
        """RST# or a function level reset: the virtual functions are gone."""
        self._remove()
        self._reset_extended()
        super().reset()

    def _follow(self, was_enabled):
        enabled = bool(self.extended[CONTROL] & ENABLE)
        if enabled and not was_enabled:
            count = int.from_bytes(self.extended[NUMBER:NUMBER + 2], "little")
            media = self._parts(self.controller.image, count) if count else []
            self.functions = [self._make(n, medium) for n, medium in enumerate(media)]
        elif was_enabled and not enabled:
            self._remove()

    def _make(self, number, medium):
        own = self.controller
        service = None if own.service is None else Port(self.arbiter)
        controller = VirtualController(own.clock, self._memory, medium, lambda vector: None, service,
                                       serial=f"VMIOVF{number:02}", fetch_ns=own.fetch_ns)
        return VirtualFunction(controller, number, FIRST_OFFSET + VF_STRIDE * number)

    def _remove(self):
        for function in self.functions:
            function.reset()
        self.functions = []


def equal_parts(image, count):
    """`count` `Partition`s of one size; ValueError if there are fewer sectors than that."""
    each = image.sectors // count
    return [Partition(image, n * each, each) for n in range(count)]
