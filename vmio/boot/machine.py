"""The machine that a kernel is booted on: a PC's board, disks as `vmio.modes` attaches them, firmware's part, the kernel in RAM."""

from collections.abc import Callable
from typing import Any

from vmio.boot import network
from vmio.boot.params import DISKS_OF_A_HOST, DMA, HYPER_V, PASSED, SPLIT, VPCI, BootParams
from vmio.experiments import mix_kinds as k
from vmio.experiments.mix_lies import lie
from vmio.firmware import acpi, command_line, loader, pci_setup
from vmio.firmware.bzimage import BzImage
from vmio.hypervisor import cpuid
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.contracts import Buffer
from vmio.machine.media.medium import Medium
from vmio.machine.overlay import Overlay
from vmio.modes import GuestMachine, Machine, attachment
from vmio.modes.platform import MMIO, MMIO_BYTES
from vmio.processors.unicorn.start import enter
from vmio.processors.unicorn.vcpu import MachineCodeCpu


def machine(params: BootParams, kernel: BzImage, initrd: Buffer, medium: Medium | None, serial: Callable[[int], None]) -> GuestMachine:
    """Return a guest that is switched on, its processor at the kernel's first instruction.  ValueError, one sentence."""
    guest = planned(params, medium, serial)
    pci_setup.set_up(guest.board)
    memory = guest.guest.memory
    rsdp = acpi.write(memory, mmio=[(MMIO, MMIO_BYTES)] if VPCI in params.modes or params.net == PASSED else []) if params.platform == HYPER_V else 0
    entry = loader.load(memory, guest.guest.ram, kernel, line(params), initrd, rsdp)
    cpu: Any = guest.cpu                 # a `MachineCodeCpu`
    cpu.power_on()
    enter(cpu, **entry._asdict())
    return guest


def planned(params: BootParams, medium: Medium | None, serial: Callable[[int], None]) -> GuestMachine:
    """Return a guest with its devices, in whose memory nothing is yet, and whose processor isn't powered on."""
    whole = Machine()
    guest = whole.guest("linux", attachment("serial", "emulated", sink=serial), ram_mib=params.memory, processor=MachineCodeCpu)
    for mode in params.modes:
        if medium is None:
            raise ValueError(f"mode {mode}: no effect without a disk")
        guest.attach(_attachment(mode, params), Overlay(medium))
    if params.net is not None:
        guest.attach(_card(params), backend=network.port(whole.host.env))
    if params.balloon is not None:
        guest.attach(attachment("memory", "split"))
    if params.services:
        guest.attach(attachment("services", "split"))
    guest.make()
    if params.host is not None:
        guest.platform.host_versions = k.host(params.host).bus
    guest.platform.bus_kind = lie(params.lie).bus
    enlightened = params.platform == HYPER_V
    if enlightened:
        guest.platform.enlighten(tlfs.PRIVILEGES if params.clock_page else tlfs.PRIVILEGES & ~tlfs.REFERENCE_TSC_BIT)
        guest.platform.plan_board("local APIC", local_apic=True)
    else:
        guest.guest.cpuid_leaves.update({leaf: (0, 0, 0, 0) for leaf in range(0x4000_0000, 0x4000_0007)})
    cpuid.be_processor(guest.guest, local_apic=enlightened)
    whole.power_on()
    for mode, part in zip(params.modes, guest.attachments[1:]):
        lie(params.lie).after.get(DISKS_OF_A_HOST.get(mode, ""), _as_it_is)(part)
    return guest


def line(params: BootParams) -> str:
    """Return the kernel's command line."""
    words = command_line
    platform = words.HYPER_V if params.platform == HYPER_V else (*words.ONE_PROCESSOR, *words.BARE_PC)
    return words.text(*words.CONSOLE, *words.REPRODUCIBLE, *words.SHORT, *words.TIME, *platform, *(words.NO_MESSAGES if params.pins else ()),
                      *(words.QUIET if params.quiet else ()), params.append)


def _as_it_is(part: Any) -> None:
    """Nobody lies about this device."""


def _spoken(params: BootParams, protocol: str) -> dict[str, Any]:
    """The option by which an attachment's host speaks the versions of the chosen host; {} for all that there are."""
    return {} if params.host is None else {"versions": getattr(k.host(params.host), protocol)}


def _card(params: BootParams) -> Any:
    if params.net == SPLIT:
        return lie(params.lie).net(address=network.GUEST, **_spoken(params, "network"))
    return attachment("net", str(params.net), address=network.GUEST)


def _attachment(mode: str, params: BootParams) -> Any:
    if mode == "emulated":
        return attachment("disk", "emulated", transfer=params.transfer, offers_dma=params.transfer == DMA)
    if mode == SPLIT and params.dialect == "virtio":
        return attachment("disk", "split", dialect=params.dialect, virtqueue=params.virtqueue)
    if mode == SPLIT:
        return lie(params.lie).disk(**_spoken(params, "storage"))
    if mode == VPCI:
        return attachment("disk", "passthrough", **_spoken(params, "pci"))
    return attachment("nvme", "emulated" if mode == "nvme" else "passthrough")
