"""Posted interrupts: the IOMMU writes a guest's interrupt into memory, its processor picks it up, nobody exits.

A descriptor of 64 bytes a vCPU: a bit for each of 256 vectors, ON (a
notification is on its way), SN (hold notifications back), and where to notify.
Source: Intel VT-d specification 5.2 "Interrupt Posting", 9.11 "Posted Interrupt
Descriptor (PID)"; Intel SDM vol. 3C, 30.6 "Posted-Interrupt Processing".
"""

from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bits import BitLayout, bit, bits
from vmio.machine.memory import HostMemory

DESCRIPTOR = BitLayout(
    "POSTED_DESCRIPTOR", 512, bits("requests", 255, 0, "PIR: a bit for each vector"), bit("outstanding", 256, "ON"),
    bit("suppress", 257, "SN"), bits("vector", 279, 272, "NV: of the notification"), bits("destination", 319, 288, "NDST"))
DESCRIPTOR_BYTES = DESCRIPTOR.size
OUTSTANDING, SUPPRESS = DESCRIPTOR.mask("outstanding"), DESCRIPTOR.mask("suppress")
_VECTORS = DESCRIPTOR.mask("requests")


class PostedDescriptor:
    """The descriptor of `cpu` (a `VCpu`), in the 64 bytes at `spa` of host `memory`.

    `posts` counts interrupts, `notifications` what was sent for them; the
    difference is what found a notification on its way already, or held back.
    `notification_vector` None: it lies there already, as it was saved.
    """

    def __init__(self, memory: HostMemory, spa: int, cpu: VCpu, notification_vector: int | None = 0xF2) -> None:
        if spa % DESCRIPTOR_BYTES:
            raise ValueError(f"posted-interrupt descriptor at {spa:#x}: a multiple of {DESCRIPTOR_BYTES}")
        self.memory, self.spa, self.cpu = memory, spa, cpu
        self.posts = self.notifications = 0
        if notification_vector is not None:
            self._store(DESCRIPTOR.number(vector=notification_vector))

    def post(self, vector: int, urgent: bool = False) -> None:
        """Set the vector's bit, as the IOMMU does, and notify unless one is on its way or is held back."""
        self.posts += 1
        bits = self._load() | 1 << vector
        notify = not bits & OUTSTANDING and (urgent or not bits & SUPPRESS)
        self._store(bits | OUTSTANDING * notify)
        if notify:
            self.notifications += 1
            self.take()

    def take(self) -> None:
        """Make the bits requests, as the vCPU's processor does when it is notified, or enters the guest."""
        bits = self._load()
        self._store(bits & ~(_VECTORS | OUTSTANDING))
        vectors = (bits & _VECTORS) >> 16 << 16      # 0 to 15 are exceptions: no APIC takes them
        while vectors:
            vector = vectors.bit_length() - 1
            vectors &= ~(1 << vector)
            self.cpu.apic.request(vector)

    def suppress(self, on: bool = True) -> None:
        """Set or clear SN: it is set when the vCPU leaves its processor.  What was posted meanwhile is taken when it returns."""
        bits = self._load()
        self._store(bits | SUPPRESS if on else bits & ~SUPPRESS)
        if not on:
            self.take()

    @property
    def pending(self) -> int:
        """Vectors that wait in the descriptor, as bits."""
        return self._load() & _VECTORS

    def _load(self) -> int:
        return int.from_bytes(self.memory.read(self.spa, DESCRIPTOR_BYTES), "little")

    def _store(self, bits: int) -> None:
        self.memory.write(self.spa, bits.to_bytes(DESCRIPTOR_BYTES, "little"))
