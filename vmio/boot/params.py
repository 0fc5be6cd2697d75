"""What `boot` is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from vmio.experiments import mix_kinds as k
from vmio.experiments.params import check, param
from vmio.modes.attachments import DIALECTS
from vmio.modes.disk_virtio import VIRTQUEUES

PLATFORMS = ("hyper-v", "pc")
SPLIT, DMA = "split", "dma"
PASSED = "passthrough"
MODES = ("emulated", SPLIT, "nvme", PASSED)
VPCI = "vpci"                # a further one: not of "all", which any PC's kernel can drive
ALL = "all"
EMULATED = "emulated"
NETS = (EMULATED, SPLIT, PASSED)
HYPER_V, PC = PLATFORMS
DISKS_OF_A_HOST = {EMULATED: k.IDE, SPLIT: k.SCSI, VPCI: k.NVME}      # what `mix_kinds` calls a mode's device
CARDS_OF_A_HOST = {EMULATED: k.TULIP, SPLIT: k.NIC}


@dataclass(frozen=True)
class BootParams:
    """How to boot.  `modes` is a disk each, in that order, all of the same medium.

    `platform` "hyper-v" is a PC whose hypervisor tells of itself, with a local APIC and ACPI; "pc" is one of 1996.
    """

    modes: tuple[str, ...] = ()
    memory: int = param(256, "guest RAM", unit="MiB", low=32, high=3072)
    dialect: str = param("vmbus", "what the split disk speaks: VMBus, or virtio over PCI", choices=DIALECTS)
    virtqueue: str = param("split", "with --dialect virtio, the form of the queue that the disk offers", choices=VIRTQUEUES)
    platform: str = param("hyper-v", "what the kernel finds: Hyper-V, or a bare PC", choices=PLATFORMS)
    clock_page: bool = param(True, "leave out Hyper-V's reference TSC page: each look at the clock is an exit", option="no-clock-page",
                             flag=False)
    transfer: str = param(DMA, "let the emulated disk be one without DMA: its data move by PIO", choices=(DMA, "pio"), option="pio", flag="pio")
    net: str | None = param(None, "a network card, by this mode: Hyper-V's legacy adapter, one on VMBus, or a virtual function of the host's; whom its cable leads to is 10.0.0.1, and answers ARP and ping", choices=NETS,
                            optional=True)
    host: str | None = param(None, "a host of the lab Test the mix, which offers the devices and speaks the versions of its year (default: all that there are)",
                             choices=tuple(one.name for one in k.HOSTS), optional=True)
    lie: str = param(k.LIE_NAMES[0], "what the host lies to its guest about, as in that lab", choices=k.LIE_NAMES)
    services: bool = param(False, "offer Hyper-V's integration services: shutdown, heartbeat, time, keys and values", flag=True)
    shutdown: int | None = param(None, "ask the guest to shut down after so much virtual time; with --services", unit="ms", low=1, high=86_400_000,
                                 optional=True)
    balloon: int | None = param(None, "offer Hyper-V's dynamic memory, and take so much of the guest's as soon as its driver is up (0: take nothing)", unit="MiB",
                                low=0, high=3072, optional=True)
    pins: bool = param(False, "let PCI devices interrupt by their pins, through the PIC, instead of by messages", flag=True)
    append: str = param("", "more words for the kernel's command line")
    quiet: bool = param(False, "let the kernel keep its messages in its log", flag=True)
    until: str = param("", "end when the console has shown this text")
    mark: str = param("VMIO-MARK", "a line of the console that holds this begins a phase, named by what follows on it")
    timeout: int = param(300, "end after so much time on the wall", unit="s", low=1, high=86_400)
    virtual_timeout: int | None = param(None, "end after so much virtual time", unit="ms", low=1, high=86_400_000, optional=True)


def checked(params: BootParams) -> BootParams:
    """Return `params` with "all" in the modes written out; ValueError names the first value that is not allowed."""
    modes = tuple(name for mode in params.modes for name in (MODES if mode == ALL else (mode,)))
    for mode in modes:
        if mode not in (*MODES, VPCI):
            raise ValueError(f"mode {mode!r}: choose one of {', '.join((*MODES, VPCI, ALL))}")
    if len(set(modes)) != len(modes):
        raise ValueError(f"mode {_twice(modes)}: given twice; a machine has one disk of each")
    if VPCI in modes and PASSED in modes:
        raise ValueError(f"mode {VPCI}: not beside {PASSED}; the host has one function to give away")
    if params.dialect != DIALECTS[0] and SPLIT not in modes:
        raise ValueError(f"dialect {params.dialect}: no effect without a disk in mode {SPLIT}")
    if params.dialect != DIALECTS[0] and (params.host is not None or params.lie != k.LIE_NAMES[0]):
        raise ValueError(f"dialect {params.dialect}: no host of that lab offers such a disk, and none lies about it; leave host and lie out")
    if params.virtqueue != VIRTQUEUES[0] and params.dialect == DIALECTS[0]:
        raise ValueError(f"virtqueue {params.virtqueue}: no effect without dialect virtio")
    on_bus = next((mode for mode in modes if mode == VPCI or mode == SPLIT and params.dialect == DIALECTS[0]), None)
    if on_bus is not None and params.platform != HYPER_V:
        raise ValueError(f"mode {on_bus}: needs platform hyper-v, whose bus it is on; not {params.platform}")
    if params.services and params.platform != HYPER_V:
        raise ValueError(f"services: need platform hyper-v, whose bus they are on; not {params.platform}")
    if params.balloon is not None and params.platform != HYPER_V:
        raise ValueError(f"balloon: needs platform hyper-v, whose bus it is on; not {params.platform}")
    if params.balloon and params.balloon % 2:
        raise ValueError(f"balloon {params.balloon}: an even number, as the host asks for pieces of 2 MiB")
    if params.shutdown is not None and not params.services:
        raise ValueError(f"shutdown {params.shutdown}: no effect without services, one of which asks the guest")
    if params.net in (SPLIT, PASSED) and params.platform != HYPER_V:
        raise ValueError(f"net {params.net}: needs platform hyper-v, whose bus it is on; not {params.platform}")
    if params.lie != k.LIE_NAMES[0] and params.platform != HYPER_V:
        raise ValueError(f"lie {params.lie}: needs platform hyper-v, of whose bus and devices it is; not {params.platform}")
    whole = check(BootParams(**{**vars(params), "modes": modes}))
    _offered(whole)
    return whole


def _offered(params: BootParams) -> None:
    """ValueError for what the chosen host does not offer."""
    if params.host is None:
        return
    host = k.host(params.host)
    if not host.bus and params.platform == HYPER_V:
        raise ValueError(f"host {host.name}: is no hypervisor to its guests; needs platform {PC}")
    if EMULATED in params.modes and not host.dma and params.transfer == DMA:
        raise ValueError(f"host {host.name}: its IDE disk has no DMA; --pio")
    asked = [("mode", mode, DISKS_OF_A_HOST) for mode in params.modes] + ([] if params.net is None else [("net", params.net, CARDS_OF_A_HOST)])
    for what, mode, known in asked:
        if known.get(mode) not in host.devices:
            there = [name for name, device in known.items() if device in host.devices]
            raise ValueError(f"{what} {mode}: host {host.name} offers no such device; it has {', '.join(there)}")


def _twice(modes: Sequence[str]) -> str:
    return next(mode for mode in modes if modes.count(mode) > 1)
