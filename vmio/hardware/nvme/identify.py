"""What the controller says about itself: the data structures of IDENTIFY.

Source: NVMe 1.4, 5.15 (figures 245 namespace, 247 controller, 249 namespace
descriptors); TP 4056 for the I/O command set structures.  The values are those
of QEMU 7.2's `nvme` device, so that a driver sees what it knows.
"""

import struct

from vmio.hardware.nvme import pages
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.pages import BYTES
from vmio.hardware.nvme.wire import DNR, EVERY_NAMESPACE, INVALID_FIELD, INVALID_NAMESPACE, MDTS, NAMESPACES, Failed

NVM, ZONED = 0, 2              # I/O command sets
WARNING_K, CRITICAL_K, NOW_K = 0x157, 0x175, 0x143   # composite temperature, kelvin
EVENT_REQUESTS = 4
SERIAL = "VMIO0001"       # of a controller that is told no other
# (metadata bytes, log2 of the data bytes) of each LBA format; only format 0 can be chosen here
LBA_FORMATS = [(metadata, shift) for shift in (9, 12) for metadata in (0, 8, 16, 64)]


def controller(serial: str, model: str, firmware: str, queue_pairs: int) -> bytes:
    """Figure 247: the controller's page.  ValueError for text that does not fit."""
    return pages.CONTROLLER.pack(
        vendor=0x1B36, subsystem_vendor=0x1AF4, serial=_text(20, "serial", serial), model=_text(40, "model", model),
        firmware=_text(8, "firmware", firmware), arbitration_burst=6, oui=b"\x00\x54\x52",
        max_transfer=MDTS, version=0x10400, controller_type=1,      # an I/O controller
        optional_events=0x100, attributes=0x8000,                   # namespace attribute events; extended LBA formats
        admin_commands=0x10A,                                       # format, namespace management, doorbell buffer
        max_aborts=3, max_event_requests=EVENT_REQUESTS - 1, firmware_updates=3, log_attributes=7,
        warning_temperature=WARNING_K, critical_temperature=CRITICAL_K,
        submission_entry=0x66, completion_entry=0x44,               # 2^6 and 2^4 bytes, no other size
        namespaces=NAMESPACES, nvm_commands=0x15D,                  # compare, DSM, write zeroes, save, timestamp, verify, copy
        write_cache=7, copy_formats=3, sgls=1,                      # FLUSH takes all namespaces; SGLs of any alignment
        nqn=f"nqn.2019-08.org.qemu:{serial}".encode(), power=2500, entry_latency=16, exit_latency=4)


def namespace(sectors: int) -> bytes:
    """Figure 245: namespace 1, `sectors` blocks of 512 bytes."""
    return pages.NAMESPACE.pack(
        size=sectors, capacity=sectors, used=sectors, features=0x14, formats=len(LBA_FORMATS) - 1, metadata=3, protection=0x1F,
        deallocated=1,                                              # blocks read as zeros then
        deallocation_granularity=7, deallocation_alignment=7,       # units of 4 KiB
        lba_formats=b"".join(pages.LBA_FORMAT.pack(metadata=metadata, data=shift) for metadata, shift in LBA_FORMATS))


def _text(length: int, name: str, text: str) -> bytes:
    raw = text.encode("ascii", "replace")
    if len(raw) > length:
        raise ValueError(f"nvme {name} {text!r}: at most {length} characters")
    return raw.ljust(length)


def answer(controller: Controller, nsid: int, dword10: int, dword11: int) -> bytes:
    """Return the 4,096 bytes of IDENTIFY by its CNS (dword 10, bits 7:0); `Failed` for what there is not."""
    kind, command_set = dword10 & 0xFF, dword11 >> 24
    if kind == 0x01:
        return controller.identity
    if kind in (0x00, 0x11):
        return namespace(controller.image.sectors) if _exists(nsid) else bytes(BYTES)
    if kind in (0x05, 0x1B):
        if not _exists(nsid):
            return bytes(BYTES)
        _nvm_only(command_set)
        return bytes(BYTES)          # no protection information beyond the namespace's page
    if kind == 0x06:
        _known(command_set)
        return pages.NVM_LIMITS.pack(verify=MDTS, dataset_range=(2**31 - 512) // 512) if command_set == NVM else bytes(BYTES)
    if kind in (0x02, 0x10, 0x07, 0x1A):
        if nsid >= EVERY_NAMESPACE - 1:
            raise Failed(INVALID_NAMESPACE | DNR)
        if kind in (0x07, 0x1A):
            _known(command_set)
        here = nsid < 1 and (kind in (0x02, 0x10) or command_set == NVM)
        return struct.pack("<I", here).ljust(BYTES, b"\0")
    if kind == 0x03:
        if not _exists(nsid):
            raise Failed(INVALID_FIELD | DNR)
        return pages.DESCRIPTOR.pack(type=4, length=1, command_set=NVM)
    if kind == 0x14:                 # primary controller capabilities: no virtual functions, all is private
        return pages.PRIMARY.pack(resources=3, queues=controller.vectors, queue_granularity=1, interrupts=controller.vectors,
                                  interrupt_granularity=1)
    if kind == 0x15:                 # no secondary controllers
        return bytes(BYTES)
    if kind == 0x1C:                 # which I/O command set combinations exist
        return bytes((1 << NVM | 1 << ZONED,)).ljust(BYTES, b"\0")
    raise Failed(INVALID_FIELD | DNR)


def _exists(nsid: int) -> bool:
    """Is this namespace there?  `Failed` if none could have this number."""
    if not 1 <= nsid <= NAMESPACES:
        raise Failed(INVALID_NAMESPACE | DNR)
    return nsid == 1


def _known(command_set: int) -> None:
    if command_set not in (NVM, ZONED):
        raise Failed(INVALID_FIELD | DNR)


def _nvm_only(command_set: int) -> None:
    if command_set != NVM:
        raise Failed(INVALID_FIELD | DNR)
