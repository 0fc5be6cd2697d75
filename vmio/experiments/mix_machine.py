"""A guest of one generation on a host of another, as one attachment: the host plugs in what it offers, the guest looks for what it knows.

Nothing here decides whether they fit: that the drivers find out, one after the other, as an operating system's do.  A driver whose
device is not there looks all the same: at ports where nobody answers, through PCI's configuration space, along the bus.
"""

from typing import Any

from vmio.devices.net.tulip.chips import CHIPS
from vmio.drivers.contracts import NetDriver
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.experiments import mix_kinds as k
from vmio.experiments.mix_kinds import GuestKind, HostKind
from vmio.experiments.mix_lies import HONEST, Lie
from vmio.experiments.net_ping import GUEST, STATION, STATION_IP
from vmio.host.net.echo import Echo
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.medium import Medium
from vmio.machine.net.cable import Cable
from vmio.machine.overlay import Overlay
from vmio.modes.attachments import Attachment, attachment
from vmio.modes.machine import DRIVER_PAGES, Machine
from vmio.modes.net_emulated import EmulatedNet
from vmio.virtio import blk_wire as blk
from vmio.virtio import net_wire as net
from vmio.virtio import pci_wire as p
from vmio.vmbus.bus.messages import CLASS_NAMES

RAM_MIB, DRIVERS = 64, 60 << 20      # of the guest; where the memory of its drivers ends
ENABLE, SLOTS = 1 << 31, 32     # of the address register at CF8h; of a PCI bus
HYPERVISOR = 1 << 31         # of CPUID leaf 1, ECX: there is one
NAMED = 0x4000_0000          # the leaf that names it


class Mixed:
    """The guest `kind` on `host`, which may tell a `lie`; `parts` are the host's devices that the guest could drive, by their names.

    `machine` is switched on; the guest's program brings up one driver after the other by `start`.  Beside a host's lie there is a
    `neighbour`, another guest, with a disk of its own, to whom the host is honest.
    """

    def __init__(self, kind: GuestKind, host: HostKind, image: Medium, lie: Lie = HONEST) -> None:
        self.kind, self.host, self.lie = kind, host, lie
        self.parts: dict[str, Any] = {}
        self.client: VmBusClient | None = None          # once the guest is on its bus
        self._no_bus = ""                               # why it isn't, once it has tried
        self.machine = whole = Machine()
        self.guest = whole.guest("guest", ram_mib=RAM_MIB)
        self.neighbour = whole.guest("neighbour", attachment("disk", "split"), Overlay(image)) if lie is not HONEST else None
        self.platform = self.guest.make().platform
        if not host.bus:
            self._say(host.signature)
        self.platform.host_versions, self.platform.guest_versions, self.platform.bus_kind = host.bus, kind.bus, lie.bus
        self.pages = GuestPages(DRIVER_PAGES, DRIVERS)
        for device in host.devices:
            if device in kind.devices:
                self._offer(device, image)
        whole.power_on()

    # The host's half.

    def _say(self, signature: bytes) -> None:
        """Let CPUID name another hypervisor than Hyper-V, or none."""
        leaves = self.guest.guest.cpuid_leaves
        eax, ebx, ecx, edx = self.guest.guest.cpuid(1)
        leaves[1] = eax, ebx, ecx | HYPERVISOR if signature else ecx & ~HYPERVISOR, edx
        if signature:
            first, second, third = (int.from_bytes(signature[at:at + 4], "little") for at in (0, 4, 8))
            leaves[NAMED] = NAMED + 1, first, second, third

    def _offer(self, device: str, image: Medium) -> None:
        """Plug one device in, over an image or a cable of its own."""
        part = self.parts[device] = self._part(device)
        if device in k.DISKS:
            backend = type(part).backends(self.machine.host, [Overlay(image)])[0]
        else:
            cable = Cable()
            backend = cable.ends[0]
            Echo(cable.ends[1], STATION, STATION_IP)
        part.plug(self.platform, backend)
        if device in self.lie.after:
            self.lie.after[device](part)

    def _part(self, device: str) -> Attachment:
        """The host's half of a device, which for devices on the bus knows the guest's half, too."""
        kind, host = self.kind, self.host
        if device == k.IDE:
            return attachment("disk", "emulated", transfer="dma" if host.dma else "pio", offers_dma=host.dma)
        if device == k.SCSI:
            return self.lie.disk(asks=kind.storage, versions=host.storage)
        if device == k.NVME:
            return attachment("disk", "passthrough", asks=kind.pci, versions=host.pci)
        if device == k.TULIP:
            return attachment("net", "emulated", address=GUEST)
        if device in k.VIRTIO:
            return attachment("disk", "split", dialect="virtio") if device == k.VIRTIO_BLK else attachment("net", "split", dialect="virtio", address=GUEST)
        if device == k.NIC:
            return self.lie.net(address=GUEST, asks=kind.network, versions=host.network)
        return attachment("net", "accelerated", address=GUEST, asks=kind.network, versions=host.network)

    # The guest's half.

    def start(self, cpu: VCpu, driver: str) -> Steps[Any]:
        """Bring one driver up, or raise `DriverError`: a generator that returns it."""
        device = k.DEVICES[driver]
        if device == k.IDE:
            return (yield from self._ide(cpu, driver))
        part = self.parts.get(device)
        if device == k.TULIP:
            find_function(cpu, CHIPS["21140A"].identity.vendor, CHIPS["21140A"].identity.device)
            return (yield from (part or EmulatedNet(GUEST)).boot(cpu, self.pages))
        if device in k.VIRTIO:
            find_function(cpu, p.VENDOR, p.FIRST_DEVICE + (blk.TYPE if device == k.VIRTIO_BLK else net.TYPE))
            return (yield from self.parts[device].boot(cpu, self.pages))
        client = yield from self._bus(cpu)
        if part is None:
            offered = sorted(CLASS_NAMES.get(channel.offer.interface_type, "?") for channel in client.channels.values())
            raise DriverError(f"{driver}: no {device} among what the bus offers: {', '.join(offered) or 'nothing'}")
        found = yield from part.boot(cpu, self.pages)
        return (yield from self._joined(cpu, part, found)) if device == k.FUNCTION else found

    def _ide(self, cpu: VCpu, driver: str) -> Steps[Any]:
        """Return an ATA driver's queue; one that is careful asks the disk by PIO what it can."""
        def by(transfer: str) -> Steps[Any]:
            return attachment("disk", "emulated", transfer=transfer, string=False, width=4).boot(cpu, self.pages)
        if driver == k.IDE_DMA:
            return (yield from by("dma"))
        found = yield from by("pio")
        return (yield from by("dma")) if driver == k.IDE_EITHER and found.driver.identity.dma else found

    def _bus(self, cpu: VCpu) -> Steps[VmBusClient]:
        """Connect to VMBus, once; all drivers on it are refused if the bus is."""
        if not self._no_bus and self.client is None:
            try:
                self.client = yield from self.platform.client(cpu, self.pages)
            except DriverError as error:
                self._no_bus = str(error)
        if self.client is None:
            raise DriverError(self._no_bus)
        return self.client

    @property
    def tried(self) -> dict[int, bool]:
        """The versions of VMBus that the guest has asked for, and whether the host agreed."""
        return self.platform.tried

    def _joined(self, cpu: VCpu, card: Any, driver: NetDriver) -> Steps[NetDriver]:
        """Let the host give the function that belongs to a card, and the guest bring it up."""
        cpu.clock.call_at(cpu.now, card.give)
        for _ in range(50):
            yield from driver.wait(cpu.now + 1_000_000)
        return driver


def find_function(cpu: VCpu, vendor: int, device: int) -> int:
    """Return the slot of PCI's bus 0 in which a function of this kind is; `DriverError` if none is, after two exits a slot."""
    for slot in range(SLOTS):
        cpu.outl(0xCF8, ENABLE | slot << 11)
        if cpu.inl(0xCFC) == device << 16 | vendor:
            return slot
    raise DriverError(f"PCI: no function {vendor:04X}:{device:04X} in {SLOTS} slots")
