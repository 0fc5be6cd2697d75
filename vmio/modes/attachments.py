"""The registry of attachments, and what each of them is.

A new device, or a new way to reach one, is a class with the methods of
`Attachment` and a line in `ATTACHMENTS`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.modes.accelerator_assigned import AssignedAccelerator
from vmio.modes.accelerator_emulated import EmulatedAccelerator
from vmio.modes.accelerator_split import SplitAccelerator
from vmio.modes.console_virtio import VirtioSplitConsole
from vmio.modes.disk_assigned import AssignedDisk
from vmio.modes.disk_emulated import EmulatedDisk
from vmio.modes.disk_split import SplitDisk
from vmio.modes.disk_virtio import VirtioSplitDisk
from vmio.modes.layer_vpmem import VPmemLayer
from vmio.modes.lun_split import SplitLun
from vmio.modes.memory_split import SplitMemory
from vmio.modes.memory_virtio import VirtioSplitMemory
from vmio.modes.net_accelerated import AcceleratedNet
from vmio.modes.net_assigned import AssignedNet
from vmio.modes.net_emulated import EmulatedNet
from vmio.modes.net_split import SplitNet
from vmio.modes.net_virtio import VirtioSplitNet
from vmio.modes.nvme_on_pci import AssignedNvme, EmulatedNvme
from vmio.modes.platform import Backend, Platform
from vmio.modes.serial_emulated import EmulatedSerial
from vmio.modes.services_split import SplitServices
from vmio.modes.sockets_split import SplitSockets


class Attachment(Protocol):
    """One device of one guest, in one mode: the host's part and the guest's part of the way to it.

    `driver_memory` is the guest-physical address behind the memory that the guest's
    drivers need: data may be anywhere from there on.  `in_memory`: requests lie in
    memory, where the other side must not find them before the guest's time has come.
    `for_each_vcpu`: the driver has a queue for each of the guest's vCPUs, `on(cpu)`.
    """

    driver_memory: int
    in_memory: bool
    for_each_vcpu: bool

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[Backend]:
        """Return one backend on `host` for each of the `media`: what `plug` takes."""

    def plug(self, platform: Platform, backend: Backend) -> None:
        """Build the host's half, and what the guest will find, into `platform`; the guest does not run yet."""

    def watch(self, served: Span, copied: Span) -> None:
        """Call `served((from, until))` in ns for each request that the device has from now on.

        `copied`: the same for each piece of data that the host's software moves.
        """

    def timers(self) -> Timers:
        """Return what the host's half has on the guest's clock, as (name, timer) pairs."""

    def save(self, saving: Saving) -> State:
        """Return the state of the host's half as plain data; `CheckpointRefused` if that can't be had now."""

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """Take back what `save` gave, after `plug`, when the platform has been restored."""

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps:
        """Bring the driver up; a generator that returns it.  `pages` (a `GuestPages`) are memory for drivers.

        The driver takes `submit(op, lba, sectors, gpa, tag)`, `flush_ring()`,
        `yield from wait(until)` (ns) and `reap()`, and answers in (tag, error or None).
        """


ATTACHMENTS: dict[tuple[str, str], type[Attachment]] = {
    ("disk", "emulated"): EmulatedDisk,
    ("disk", "split"): SplitDisk,
    ("disk", "split by virtio"): VirtioSplitDisk,
    ("disk", "passthrough"): AssignedDisk,
    ("lun", "split"): SplitLun,
    ("layer", "vpmem"): VPmemLayer,
    ("nvme", "emulated"): EmulatedNvme,
    ("nvme", "passthrough"): AssignedNvme,
    ("net", "emulated"): EmulatedNet,
    ("net", "split"): SplitNet,
    ("net", "split by virtio"): VirtioSplitNet,
    ("net", "passthrough"): AssignedNet,
    ("net", "accelerated"): AcceleratedNet,
    ("accelerator", "emulated"): EmulatedAccelerator,
    ("accelerator", "split"): SplitAccelerator,
    ("accelerator", "passthrough"): AssignedAccelerator,
    ("serial", "emulated"): EmulatedSerial,
    ("console", "split by virtio"): VirtioSplitConsole,
    ("services", "split"): SplitServices,
    ("memory", "split"): SplitMemory,
    ("memory", "split by virtio"): VirtioSplitMemory,
    ("sockets", "split"): SplitSockets,
}


DIALECTS = ("vmbus", "virtio")        # what split drivers speak


def attachment(device: str, mode: str, **options: Any) -> Attachment:
    """Return a new attachment of `device` in `mode`; `options` are those of its class, and of split drivers the `dialect` ("vmbus").

    ValueError names the device and the mode, and lists what there is.
    """
    dialect = options.pop("dialect", DIALECTS[0])
    mode += f" by {dialect}" if dialect != DIALECTS[0] else ""
    try:
        kind = ATTACHMENTS[device, mode]
    except KeyError:
        known = ", ".join(" ".join(key) for key in ATTACHMENTS)
        raise ValueError(f"attachment {device} {mode}: choose one of {known}") from None
    return kind(**options)
