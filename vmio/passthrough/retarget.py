"""HvCallRetargetDeviceInterrupt: a guest moves an interrupt of its device to another of its vCPUs.

Public sources: TLFS, "HvCallRetargetDeviceInterrupt"; Linux
drivers/pci/controller/pci-hyperv.c (hv_irq_retarget_interrupt).
"""

from typing import Any

from vmio.hypervisor.contracts import GuestCpu, Partition
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.contracts import Record
from vmio.machine.pagetable import TranslationFault
from vmio.vmbus.pci import vpci as v

PAGE = 4096
MAX_BANKS = 64


class Retargets:
    """The hypercall of one guest, by the device ids of its `Assignment`s.  Made by `of(guest)`."""

    def __init__(self) -> None:
        self.devices: dict[int, Any] = {}

    def __call__(self, guest: Partition, cpu: GuestCpu, control: int, gpa: int, output: int) -> int:
        """Slow form: the input is in guest memory.  A status, whatever the guest says."""
        banks = control >> 17 & 0x3FF
        size = v.RETARGET.size + 8 * banks
        if control & tlfs.FAST or banks > 1 + MAX_BANKS or gpa % 8 or gpa % PAGE + size > PAGE:
            return tlfs.INVALID_INPUT
        try:
            data = guest.memory.read(gpa, size)
        except TranslationFault:
            return tlfs.INVALID_PARAMETER
        record, words = v.RETARGET.parse(data), [int.from_bytes(data[at:at + 8], "little")
                                                 for at in range(v.RETARGET.size, size, 8)]
        device, target = self.devices.get(record.device), _target(record, words)
        if (record.partition != v.THIS_PARTITION or record.source != v.SOURCE_MSI or device is None
                or target is None or target >= len(guest.vcpus) or not 16 <= record.vector <= 255):
            return tlfs.INVALID_PARAMETER
        good = device.retarget_interrupt(record.address, record.data, guest.vcpus[target], record.vector)
        return tlfs.SUCCESS if good else tlfs.INVALID_PARAMETER


def _target(record: Record, words: list[int]) -> int | None:
    """The lowest vCPU that the mask or the set names, or None.  A set's bank n, if its bit is set, holds 64n to 64n+63."""
    if not record.flags & v.PROCESSOR_SET:
        return _lowest(record.processor_mask)
    if record.processor_mask or not words or words[0].bit_count() != len(words) - 1:   # format 0, a bank for each bit
        return None
    for number, bank in zip((n for n in range(64) if words[0] >> n & 1), words[1:]):
        if bank:
            return 64 * number + (bank & -bank).bit_length() - 1
    return None


def _lowest(mask: int) -> int | None:
    return (mask & -mask).bit_length() - 1 if mask else None


def of(guest: Guest) -> Retargets:
    """Return the guest's `Retargets`, there from the first device on."""
    if v.RETARGET_INTERRUPT not in guest.hypercalls:
        guest.hypercalls[v.RETARGET_INTERRUPT] = Retargets()
    found = guest.hypercalls[v.RETARGET_INTERRUPT]
    assert isinstance(found, Retargets)
    return found
