"""The guests and the hosts of a test environment: which drivers a guest has, which devices a host offers, and which versions each speaks.

Versions of the protocols by generation: Linux, include/linux/hyperv.h (VMBus), drivers/scsi/storvsc_drv.c (storage),
drivers/net/hyperv/hyperv_net.h (network) and drivers/pci/controller/pci-hyperv.c (virtual PCI); a generation 2 machine has no legacy devices (Microsoft, "Should I create a generation 1 or
2 virtual machine in Hyper-V?").  What a host of a year offers beside that is our choice.
"""

from dataclasses import dataclass
from typing import TypeVar

from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.pci import vpci
from vmio.vmbus.storage import vstor as v

# Devices of a host's.
IDE, TULIP, SCSI, NIC, NVME, FUNCTION = "IDE disk", "21140", "SCSI on VMBus", "NIC on VMBus", "NVMe function", "network function"
VIRTIO_BLK, VIRTIO_NET = "virtio disk", "virtio card"
LEGACY, SYNTHETIC, ASSIGNED, VIRTIO = (IDE, TULIP), (SCSI, NIC), (NVME, FUNCTION), (VIRTIO_BLK, VIRTIO_NET)
DISKS = (IDE, SCSI, NVME, VIRTIO_BLK)

# Drivers of a guest's, and the device that each is for.
IDE_PIO, IDE_DMA, IDE_EITHER, STORVSC, NVME_VPCI = "IDE, PIO", "IDE, DMA", "IDE, DMA if offered", "StorVSC", "NVMe"
OLD_NET, NETVSC, WITH_FUNCTION = "Tulip", "NetVSC", "NetVSC and VF"
BLK_DRIVER, NET_DRIVER = "virtio-blk", "virtio-net"
DEVICES = {IDE_PIO: IDE, IDE_DMA: IDE, IDE_EITHER: IDE, STORVSC: SCSI, NVME_VPCI: NVME, BLK_DRIVER: VIRTIO_BLK,
           OLD_NET: TULIP, NETVSC: NIC, WITH_FUNCTION: FUNCTION, NET_DRIVER: VIRTIO_NET}
ON_VMBUS = (STORVSC, NVME_VPCI, NETVSC, WITH_FUNCTION)

LIE_NAMES = ("none", "connection", "version", "transfer size", "capacity", "sections")      # each is in `mix_lies`
V0_13 = m.version(0, 13)
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class GuestKind:
    """A guest: its drivers for a `disk` and for a network card (`net`), and the versions it asks for, each in the order in which it tries.

    One with no versions of VMBus (`bus`) does not know that there is a hypervisor.
    """

    name: str
    what: str
    disk: tuple[str, ...]
    net: tuple[str, ...]
    bus: tuple[int, ...] = ()
    storage: tuple[int, ...] = ()
    network: tuple[int, ...] = ()
    pci: tuple[int, ...] = ()

    @property
    def devices(self) -> set[str]:
        """Return the devices that it has a driver for."""
        return {DEVICES[driver] for driver in (*self.disk, *self.net)}


@dataclass(frozen=True)
class HostKind:
    """A host: the `devices` that it offers, and the versions it speaks; `dma`: whether its IDE disk has DMA.

    One that speaks no version of VMBus (`bus`) is no hypervisor to be seen, or else one that says this `signature` in place of Hyper-V's.
    """

    name: str
    what: str
    devices: tuple[str, ...]
    bus: tuple[int, ...] = ()
    storage: tuple[int, ...] = ()
    network: tuple[int, ...] = ()
    pci: tuple[int, ...] = ()
    dma: bool = True
    signature: bytes = b""


OLD_STORAGE = (v.WIN8, v.WIN7, v.WIN6)
GUESTS = (
    GuestKind("1995", "IDE by PIO, a Tulip; no word of a hypervisor", (IDE_PIO,), (OLD_NET,)),
    GuestKind("2000", "IDE by DMA, whatever the disk says of itself; a Tulip", (IDE_DMA,), (OLD_NET,)),
    GuestKind("2008", "generation 1 as first shipped: VMBus 1.1 and 0.13, or else what a PC had", (STORVSC, IDE_EITHER), (NETVSC, OLD_NET),
              (m.WIN7, V0_13), (v.WIN7, v.WIN6), (n.V2, n.V1)),
    GuestKind("2012", "generation 1: split drivers, or else what a PC had", (STORVSC, IDE_EITHER), (NETVSC, OLD_NET),
              (m.WIN8, m.WIN7, V0_13), OLD_STORAGE, (n.V4, n.V2, n.V1)),
    GuestKind("2013 gen 2", "generation 2: split drivers and nothing else", (STORVSC,), (NETVSC,),
              (m.V3_0, m.WIN8), (v.WIN8_1, v.WIN8), (n.V5, n.V4, n.V2, n.V1)),
    GuestKind("2020 cloud", "an NVMe function and a network function, or else split drivers", (NVME_VPCI, STORVSC), (WITH_FUNCTION, NETVSC),
              m.LINUX_VERSIONS, v.LINUX_VERSIONS, n.VERSIONS, vpci.LINUX_VERSIONS),
    GuestKind("isolated", "split drivers of a guest that does not trust its host: VMBus 5.2 or later, NVSP 6.1", (STORVSC,), (NETVSC,),
              (m.V5_3, m.V5_2), v.LINUX_VERSIONS, (n.V6_1,)),
    GuestKind("virtio", "a disk and a card of the open standard, and no other driver", (BLK_DRIVER,), (NET_DRIVER,)),
)
HOSTS = (
    HostKind("emulator", "legacy devices alone, its IDE disk without DMA; no hypervisor to be seen", LEGACY, dma=False),
    HostKind("2012", "legacy devices, and split ones by VMBus 2.4", (*LEGACY, *SYNTHETIC), (m.WIN8,), OLD_STORAGE, (n.V4, n.V2, n.V1)),
    HostKind("2016", "legacy devices, and split ones by VMBus 2.4 to 4.0", (*LEGACY, *SYNTHETIC), (m.V4_0, m.V3_0, m.WIN8),
             (v.WIN10, v.WIN8_1, *OLD_STORAGE), (n.V5, n.V4, n.V2, n.V1)),
    HostKind("2022", "all of them: legacy, split by VMBus 2.4 to 5.3, and functions to give away", (*LEGACY, *SYNTHETIC, *ASSIGNED),
             m.LINUX_VERSIONS, (v.WIN10, v.WIN8_1, *OLD_STORAGE), n.VERSIONS, vpci.LINUX_VERSIONS),
    HostKind("legacy gone", "split ones by VMBus 5.0 or later, and functions to give away; whatever is older is dropped", (*SYNTHETIC, *ASSIGNED),
             (m.V5_3, m.V5_2, m.V5_1, m.V5_0), (v.WIN10, v.WIN8_1), (n.V6_1, n.V6, n.V5), (vpci.V1_4, vpci.V1_3)),
)
# A host of another make, which is no column of the matrix.  What it says of itself: Linux, Documentation/virt/kvm/x86/cpuid.rst.
KVM = HostKind("KVM", "a PC's legacy devices, as QEMU has them, and virtio in place of VMBus", (*LEGACY, *VIRTIO), signature=b"KVMKVMKVM\0\0\0")


def guest(name: str) -> GuestKind:
    """Return the guest of that name; ValueError with those that there are."""
    return _find("guest", {one.name: one for one in GUESTS}, name)


def host(name: str) -> HostKind:
    """Return the host of that name; ValueError with those that there are."""
    return _find("host", {one.name: one for one in HOSTS}, name)


def _find(what: str, among: dict[str, Kind], name: str) -> Kind:
    if name not in among:
        raise ValueError(f"{what} {name!r}: choose one of {', '.join(among)}")
    return among[name]
