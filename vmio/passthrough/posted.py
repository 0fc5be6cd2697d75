"""Posted interrupts: the IOMMU writes a guest's interrupt into memory, its processor picks it up, nobody exits.

A descriptor of 64 bytes a vCPU: a bit for each of 256 vectors, ON (a
notification is on its way), SN (hold notifications back), and where to notify.
Source: Intel VT-d specification 5.2 "Interrupt Posting", 9.12 "Posted Interrupt
Descriptor (PID)"; Intel SDM vol. 3C, 30.6 "Posted-Interrupt Processing".
"""

DESCRIPTOR_BYTES = 64
OUTSTANDING, SUPPRESS = 1 << 256, 1 << 257     # ON, SN
_VECTORS = (1 << 256) - 1


class PostedDescriptor:
    """The descriptor of `cpu`, at `spa` in host `memory`.  Made by `Iommu.posted_descriptor(cpu)`.

    `posts` counts interrupts, `notifications` what was sent for them; the
    difference is what found a notification on its way already.
    """

    def __init__(self, memory, cpu, notification_vector=0xF2):
        self.memory, self.cpu = memory, cpu
        self.spa = memory.allocate(1)
        self.posts = self.notifications = 0
        cpu.posted = True                      # the processor takes these vectors, and their EOI, without an exit
        self._store(notification_vector << 272)

    def post(self, vector, urgent=False):
        """What the IOMMU does: set the vector's bit; notify unless one is on its way or is held back."""
        self.posts += 1
        bits = self._load() | 1 << vector
        notify = not bits & OUTSTANDING and (urgent or not bits & SUPPRESS)
        self._store(bits | OUTSTANDING * notify)
        if notify:
            self.notifications += 1
            self.take()

    def take(self):
        """What the vCPU's processor does when it is notified, or enters the guest: the bits become requests."""
        bits = self._load()
        self._store(bits & ~(_VECTORS | OUTSTANDING))
        vectors = (bits & _VECTORS) >> 16 << 16      # 0 to 15 are exceptions: no APIC takes them
        while vectors:
            vector = vectors.bit_length() - 1
            vectors &= ~(1 << vector)
            self.cpu.apic.request(vector)

    def suppress(self, on=True):
        """SN: set when the vCPU leaves its processor.  What was posted meanwhile is taken when it returns."""
        bits = self._load()
        self._store(bits | SUPPRESS if on else bits & ~SUPPRESS)
        if not on:
            self.take()

    @property
    def pending(self):
        """Vectors that wait in the descriptor, as bits."""
        return self._load() & _VECTORS

    def free(self):
        """Give the page back; the vCPU's interrupts exit again."""
        self.memory.free(self.spa, 1)
        self.cpu.posted = False

    def _load(self):
        return int.from_bytes(self.memory.read(self.spa, DESCRIPTOR_BYTES), "little")

    def _store(self, bits):
        self.memory.write(self.spa, bits.to_bytes(DESCRIPTOR_BYTES, "little"))
