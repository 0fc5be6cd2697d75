"""What the controller says about itself: the data structures of IDENTIFY.

Source: NVMe 1.4, 5.15 (figures 245 namespace, 247 controller, 249 namespace
descriptors); TP 4056 for the I/O command set structures.  The values are those
of QEMU 7.2's `nvme` device, so that a driver sees what it knows.
"""

import struct

from vmio.hardware.nvme.wire import DNR, EVERY_NAMESPACE, INVALID_FIELD, INVALID_NAMESPACE, MDTS, NAMESPACES, Failed

BYTES = 4096
NVM, ZONED = 0, 2              # I/O command sets
WARNING_K, CRITICAL_K, NOW_K = 0x157, 0x175, 0x143   # composite temperature, kelvin
EVENT_REQUESTS = 4
# (metadata bytes, log2 of the data bytes) of each LBA format; only format 0 can be chosen here
LBA_FORMATS = [(metadata, shift) for shift in (9, 12) for metadata in (0, 8, 16, 64)]


def controller(serial, model, firmware, queue_pairs):
    """Figure 247: the controller's page.  ValueError for text that does not fit."""
    page = bytearray(BYTES)
    _text(page, 4, 20, "serial", serial)
    _text(page, 24, 40, "model", model)
    _text(page, 64, 8, "firmware", firmware)
    for offset, layout, value in (
            (0, "H", 0x1B36), (2, "H", 0x1AF4),      # PCI vendor and subsystem vendor
            (72, "B", 6),                            # arbitration burst 2^6
            (73, "3s", b"\x00\x54\x52"),             # IEEE OUI 52:54:00
            (77, "B", MDTS), (80, "I", 0x10400),     # version 1.4
            (92, "I", 0x100), (96, "I", 0x8000),     # namespace attribute events; extended LBA formats
            (111, "B", 1),                           # an I/O controller
            (256, "H", 0x10A),                       # format, namespace management, doorbell buffer
            (258, "B", 3), (259, "B", EVENT_REQUESTS - 1), (260, "B", 3), (261, "B", 7),
            (266, "H", WARNING_K), (268, "H", CRITICAL_K),
            (512, "B", 0x66), (513, "B", 0x44),      # entries are 2^6 and 2^4 bytes, no other size
            (516, "I", NAMESPACES),
            (520, "H", 0x15D),                       # compare, DSM, write zeroes, save, timestamp, verify, copy
            (525, "B", 7),                           # volatile write cache; FLUSH takes all namespaces
            (534, "H", 3), (536, "I", 1),            # copy formats 0 and 1; SGLs of any alignment
            (2048, "H", 0x9C4), (2052, "I", 16), (2056, "I", 4)):  # power state 0: 25 W, latencies in us
        struct.pack_into("<" + layout, page, offset, value)
    name = f"nqn.2019-08.org.qemu:{serial}".encode()
    page[768:768 + len(name)] = name
    return bytes(page)


def namespace(sectors):
    """Figure 245: namespace 1, `sectors` blocks of 512 bytes."""
    page = bytearray(BYTES)
    struct.pack_into("<QQQ", page, 0, sectors, sectors, sectors)
    page[24:29] = 0x14, len(LBA_FORMATS) - 1, 0, 3, 0x1F     # features, formats, chosen one, metadata, protection
    page[33] = 1                                             # deallocated blocks read as zeros
    struct.pack_into("<HH", page, 68, 7, 7)                  # deallocation in units of 4 KiB
    for n, (metadata, shift) in enumerate(LBA_FORMATS):
        struct.pack_into("<HB", page, 128 + 4 * n, metadata, shift)
    return bytes(page)


def _text(page, at, length, name, text):
    raw = text.encode("ascii", "replace")
    if len(raw) > length:
        raise ValueError(f"nvme {name} {text!r}: at most {length} characters")
    page[at:at + length] = raw.ljust(length)


def answer(controller, nsid, dword10, dword11):
    """The 4,096 bytes of IDENTIFY by its CNS (dword 10, bits 7:0); `Failed` for what there is not."""
    kind, command_set = dword10 & 0xFF, dword11 >> 24
    if kind == 0x01:
        return controller.identity
    if kind in (0x00, 0x11):
        return controller.namespace if _exists(nsid) else bytes(BYTES)
    if kind in (0x05, 0x1B):
        if not _exists(nsid):
            return bytes(BYTES)
        _nvm_only(command_set)
        return bytes(BYTES)          # no protection information beyond the namespace's page
    if kind == 0x06:
        _known(command_set)
        page = bytearray(BYTES)
        if command_set == NVM:       # limits of VERIFY and of DSM
            struct.pack_into("<B3xI", page, 0, MDTS, (2**31 - 512) // 512)
        return bytes(page)
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
        return bytes((4, 1, 0, 0, NVM)).ljust(BYTES, b"\0")   # one descriptor: the I/O command set
    if kind == 0x14:                 # primary controller capabilities: no virtual functions, all is private
        page = bytearray(BYTES)
        page[4] = 3
        struct.pack_into("<HxxH", page, 42, controller.vectors, 1)
        struct.pack_into("<HxxH", page, 74, controller.vectors, 1)
        return bytes(page)
    if kind == 0x15:                 # no secondary controllers
        return bytes(BYTES)
    if kind == 0x1C:                 # which I/O command set combinations exist
        return bytes((1 << NVM | 1 << ZONED,)).ljust(BYTES, b"\0")
    raise Failed(INVALID_FIELD | DNR)


def _exists(nsid):
    """Is this namespace there?  `Failed` if none could have this number."""
    if not 1 <= nsid <= NAMESPACES:
        raise Failed(INVALID_NAMESPACE | DNR)
    return nsid == 1


def _known(command_set):
    if command_set not in (NVM, ZONED):
        raise Failed(INVALID_FIELD | DNR)


def _nvm_only(command_set):
    if command_set != NVM:
        raise Failed(INVALID_FIELD | DNR)
