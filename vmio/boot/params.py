"""What `boot` is told."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    if params.virtqueue != VIRTQUEUES[0] and params.dialect == DIALECTS[0]:
        raise ValueError(f"virtqueue {params.virtqueue}: no effect without dialect virtio")
    on_bus = next((mode for mode in modes if mode == VPCI or mode == SPLIT and params.dialect == DIALECTS[0]), None)
    if on_bus is not None and params.platform != "hyper-v":
        raise ValueError(f"mode {on_bus}: needs platform hyper-v, whose bus it is on; not {params.platform}")
    if params.services and params.platform != "hyper-v":
        raise ValueError(f"services: need platform hyper-v, whose bus they are on; not {params.platform}")
    if params.balloon is not None and params.platform != "hyper-v":
        raise ValueError(f"balloon: needs platform hyper-v, whose bus it is on; not {params.platform}")
    if params.balloon and params.balloon % 2:
        raise ValueError(f"balloon {params.balloon}: an even number, as the host asks for pieces of 2 MiB")
    if params.shutdown is not None and not params.services:
        raise ValueError(f"shutdown {params.shutdown}: no effect without services, one of which asks the guest")
    if params.net in (SPLIT, PASSED) and params.platform != "hyper-v":
        raise ValueError(f"net {params.net}: needs platform hyper-v, whose bus it is on; not {params.platform}")
    return check(BootParams(**{**vars(params), "modes": modes}))


def _twice(modes: Sequence[str]) -> str:
    return next(mode for mode in modes if modes.count(mode) > 1)
