"""The host's 82576 behind the IOMMU: the host drives the physical function, and guests may have virtual ones."""

from collections.abc import Sequence
from typing import NamedTuple

from vmio.devices.pci.header import COMMAND, COMMAND_MASTER, COMMAND_MEMORY
from vmio.devices.pci.msix import ENTRY_BYTES
from vmio.devices.pci.wire import MSIX as MSIX_LAYOUT
from vmio.devices.pci.wire import MSIX_ENABLE, MSIX_ENTRY
from vmio.hardware.nic import adapter
from vmio.hardware.nic.adapter import Adapter82576
from vmio.hardware.nic.pci import MSIX, TABLES, TABLES_BYTES, MsixRegisters, PhysicalFunction
from vmio.host.clock import HostClock
from vmio.host.net.igb import OTHER_VECTOR, Igb
from vmio.hypervisor.contracts import Root
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.bus import Bus
from vmio.machine.net import frames
from vmio.machine.net.contracts import NetPort, Station
from vmio.machine.net.frames import all_different, station_address
from vmio.passthrough import virtual
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.function import HostFunction
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id

BAR, MSIX_BAR = 1 << 40, (1 << 40) + (1 << 20)       # where the host's firmware has put registers and MSI-X tables
MOST = 7                                             # virtual functions beside the physical one's own pool


class NicPlace(NamedTuple):
    """A virtual `function` that can be given to a guest, and the `nic` (a `HostNic`) that it is of."""

    function: HostFunction
    nic: "HostNic"


class HostPort:
    """The physical function's own place on the card's switch, as a `NetPort`: for the host's virtual switch, or one split card."""

    def __init__(self, card: Adapter82576) -> None:
        self.card = card

    @property
    def up(self) -> bool:
        """Whether the card has a link."""
        return self.card.wire.up

    def connect(self, station: Station | None) -> None:
        """See `NetPort`."""
        if station is not None and self.card.host is not None and station is not self.card.host:
            raise ValueError(f"network card's own port: {type(self.card.host).__name__} is plugged in; only one station is there")
        self.card.host = station

    def send(self, frame: bytes) -> bool:
        """See `NetPort`."""
        frames.check(frame)
        return self.card.send_for_host(frame)


class HostNic:
    """A card of `host` at `wire`, with a virtual function for each of `addresses` (None: the function chooses one itself).

    `vlans` are VLANs that the host puts functions into, 0 for none.  `places` are what an attachment has as its backend.  There
    is an IOMMU before the card, off until `iommu.enable()`.  ValueError for addresses that no card can have, or for too many.
    """

    def __init__(self, host: Root, wire: NetPort, addresses: Sequence[bytes | None], vlans: Sequence[int] | None = None,
                 spoofing: bool = False, slot: int = 4) -> None:
        if not 1 <= len(addresses) <= MOST:
            raise ValueError(f"virtual functions of a network card: {len(addresses)}; 1 to {MOST}")
        known = [station_address(each) for each in addresses if each is not None]
        all_different(known)
        self.host, self.iommu = host, Iommu(host.memory)
        self.router = InterruptRouter(host, self.iommu)
        self.card = Adapter82576(wire, lambda: HostClock(host.env))
        self.port = HostPort(self.card)
        pci = PhysicalFunction(self.card)
        bus = Bus("host MMIO", 1 << 48)
        bus.attach(BAR, adapter.BAR_BYTES, self.card, "82576", width=4)
        bus.attach(MSIX_BAR, TABLES_BYTES, MsixRegisters(self.card.interrupts.msix), "82576 MSI-X", width=4)
        cpu = HostCpu(host, bus)
        self.driver = Igb(host, cpu, BAR, self.card, list(zip(addresses, vlans or [0] * len(addresses), strict=True)), spoofing)
        self.function = HostFunction("nic0", requester_id(0, slot), pci, self.iommu, self.driver)
        pci.write(COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER)
        self.places = [NicPlace(each, self) for each in virtual.enable(self.function, len(addresses))]
        self.driver.start()
        address, data = self.router.create_for(self.function.requester, self.driver.interrupt)
        entry = MSIX_ENTRY.pack(address=address, data=data)
        for at in range(0, ENTRY_BYTES, 4):
            cpu.store(MSIX_BAR + TABLES + ENTRY_BYTES * OTHER_VECTOR + at, 4, int.from_bytes(entry[at:at + 4], "little"))
        pci.write(MSIX + MSIX_LAYOUT.at("control")[0], 2, MSIX_ENABLE)
