"""vmio: I/O virtualization as running code.

Three ways for a guest to reach a device (`emulated`, `split`, `passthrough`)
over one machine, with every VM exit counted in one place.  The package has
floors, from `machine` up to `lessons`, and an import never goes up; README lists
them, docs/architecture.md shows the way of one read.

What lessons and exercises use can be had from here, whatever file it lies in:

    from vmio import Host, Machine, attachment, ring

Nothing is imported before it is asked for, so `import vmio` costs next to nothing.
"""

from importlib import import_module

TYPE_CHECKING = False     # for a type checker it is true; importing `typing` would be most of what this file costs
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    # machines
    "Machine": "vmio.modes.machine", "one_guest": "vmio.modes.machine", "attachment": "vmio.modes.attachments",
    "Host": "vmio.hypervisor.host",
    "CostModel": "vmio.hypervisor.costs", "Board": "vmio.devices.board", "AtaDisk": "vmio.devices.ata.disk",
    "Image": "vmio.machine.storage", "VolatileCache": "vmio.machine.media.cached",
    "TranslationFault": "vmio.machine.pagetable", "UartDriver": "vmio.drivers.uart",
    # split drivers
    "ChannelEnd": "vmio.vmbus.bus.channel", "FlatMemory": "vmio.vmbus.bus.ringmemory", "GpaRange": "vmio.vmbus.bus.packets",
    "RingFull": "vmio.vmbus.bus.ring", "RingReader": "vmio.vmbus.bus.ring", "RingWriter": "vmio.vmbus.bus.ring",
    "format_ring": "vmio.vmbus.bus.ring", "signal_if_it_was_empty": "vmio.vmbus.bus.ring",
    "VmbusServer": "vmio.vmbus.bus.server", "enable_enlightenments": "vmio.hypervisor.hyperv.hypercalls",
    # passthrough
    "AssignableNvme": "vmio.host.nvme", "Iommu": "vmio.passthrough.iommu.iommu", "assign": "vmio.passthrough.assignment",
    # network
    "Cable": "vmio.machine.net.cable", "Simulation": "vmio.hypervisor.simulation", "VirtualSwitch": "vmio.host.net.switch",
    # migration
    "Destination": "vmio.manage.migration.destination", "DirtyLog": "vmio.hypervisor.dirty", "Link": "vmio.manage.migration.link",
    "Migration": "vmio.manage.migration.migration", "watch": "vmio.machine.probes",
    # experiments
    "DiskParams": "vmio.experiments.disk_params", "KvDevice": "vmio.experiments.kv",
    "SharedGuest": "vmio.experiments.sharing", "SharingParams": "vmio.experiments.sharing",
    "run_sharing": "vmio.experiments.sharing", "jain": "vmio.experiments.sharing_result",
}
_MODULES = {   # for their constants and functions
    "accelerator": "vmio.experiments.accelerator", "ata_commands": "vmio.devices.ata.commands", "checkpoint": "vmio.machine.checkpoint", "compare": "vmio.experiments.compare",
    "compare_sweep": "vmio.experiments.compare_sweep", "cyclic": "vmio.manage.migration.cyclic", "disk": "vmio.experiments.disk",
    "encrypted": "vmio.machine.media.encrypted", "engine_job": "vmio.hardware.accelerator.job", "engine_registers": "vmio.hardware.accelerator.registers", "iotlb": "vmio.experiments.iotlb",
    "kv": "vmio.experiments.kv", "many": "vmio.experiments.many", "net": "vmio.experiments.net", "packets": "vmio.vmbus.bus.packets", "pcap": "vmio.machine.net.pcap",
    "moved_guests": "vmio.manage.migration.guests", "pic": "vmio.drivers.pic",
    "recorded": "vmio.processors.kvm.recorded", "ring": "vmio.vmbus.bus.ring", "ringsteps": "vmio.experiments.ringsteps", "rules": "vmio.manage.migration.rules",
    "scan": "vmio.experiments.scan", "scan_control": "vmio.experiments.scan_control", "scan_scaling": "vmio.experiments.scan_scaling",
    "serving": "vmio.experiments.serving",
    "steps": "vmio.processors.kvm.steps", "trace": "vmio.experiments.trace", "virtqueue": "vmio.virtio.queue",
}
__all__ = sorted([*_PUBLIC, *_MODULES])


def __getattr__(name: str) -> "Any":
    """Import the module behind a public name when the name is first used (PEP 562)."""
    if name in _PUBLIC:
        found = getattr(import_module(_PUBLIC[name]), name)
    elif name in _MODULES:
        found = import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'vmio' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
