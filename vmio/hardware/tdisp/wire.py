"""TDISP's messages, to the byte: a header of 16 bytes, then what each kind has besides.

Source: TEE Device Interface Security Protocol (PCI-SIG's ECN of 2022), as DMTF's spdm-emu declares it, include/industry_standard/pci_tdisp.h.
Left out: binding of peer-to-peer streams, changes of MMIO attributes, vendors' own messages.
"""

from enum import IntEnum

from vmio.machine.layout import Layout, raw, u8, u16, u32, u64

VERSION = 0x10
NONCE = 32                      # bytes
FUNCTION_VALID = 1 << 24        # of an interface's id: bits 23:16 are a segment


class Message(IntEnum):
    """Kinds of messages; an answer's number is its request's less 80h."""

    VERSION = 0x01
    CAPABILITIES = 0x02
    LOCK_INTERFACE_RESPONSE = 0x03
    DEVICE_INTERFACE_REPORT = 0x04
    DEVICE_INTERFACE_STATE = 0x05
    START_INTERFACE_RESPONSE = 0x06
    STOP_INTERFACE_RESPONSE = 0x07
    ERROR = 0x7F
    GET_VERSION = 0x81
    GET_CAPABILITIES = 0x82
    LOCK_INTERFACE = 0x83
    GET_DEVICE_INTERFACE_REPORT = 0x84
    GET_DEVICE_INTERFACE_STATE = 0x85
    START_INTERFACE = 0x86
    STOP_INTERFACE = 0x87


class State(IntEnum):
    """States of an interface, a TDI."""

    CONFIG_UNLOCKED = 0
    CONFIG_LOCKED = 1
    RUN = 2
    ERROR = 3


class Error(IntEnum):
    """Why a request was refused."""

    INVALID_REQUEST = 0x01
    BUSY = 0x03
    INVALID_INTERFACE_STATE = 0x04
    UNSPECIFIED = 0x05
    UNSUPPORTED_REQUEST = 0x07
    VERSION_MISMATCH = 0x41
    INVALID_INTERFACE = 0x101
    INVALID_NONCE = 0x102
    INSUFFICIENT_ENTROPY = 0x103
    INVALID_DEVICE_CONFIGURATION = 0x104


_HEADER = (u8("version", default=VERSION), u8("type", names={each.value: each.name for each in Message}), u16("reserved"),
           u32("function_id", "requester id; bit 24: a segment is given"), u64("reserved_id"))
HEADER = Layout("TDISP_HEADER", *_HEADER, tail="body")
VERSIONS = Layout("TDISP_VERSION", *_HEADER, u8("count"), tail="versions")
ASK_CAPABILITIES = Layout("TDISP_GET_CAPABILITIES", *_HEADER, u32("tsm_caps"))
CAPABILITIES = Layout("TDISP_CAPABILITIES", *_HEADER, u32("dsm_caps"), raw("requests", 16, "a bit for each kind, 80h first"), u16("lock_flags"),
                      raw("reserved_lock", 3), u8("address_bits"), u8("requests_this"), u8("requests_all"))
LOCK = Layout("TDISP_LOCK_INTERFACE", *_HEADER, u16("flags"), u8("stream"), u8("reserved_stream"), u64("mmio_offset"), u64("p2p_mask"))
NONCED = Layout("TDISP_LOCK_INTERFACE_RESPONSE", *_HEADER, raw("nonce", NONCE))         # START_INTERFACE is the same
ASK_REPORT = Layout("TDISP_GET_DEVICE_INTERFACE_REPORT", *_HEADER, u16("offset"), u16("length"))
REPORT_PART = Layout("TDISP_DEVICE_INTERFACE_REPORT", *_HEADER, u16("length"), u16("remainder"), tail="report")
STATE = Layout("TDISP_DEVICE_INTERFACE_STATE", *_HEADER, u8("state", names={each.value: each.name for each in State}))
FAILED = Layout("TDISP_ERROR", *_HEADER, u32("code", names={each.value: each.name for each in Error}), u32("data"))
NO_FIRMWARE_UPDATE, CACHE_LINE_SIZE, LOCK_MSIX, BIND_P2P, ALL_REQUEST_REDIRECT = (1 << bit for bit in range(5))      # flags of LOCK

# What a report holds; page numbers are those of the BARs, plus the offset that the requester of LOCK has asked for.
REPORT = Layout("TDISP_REPORT", u16("interface_info"), u16("reserved"), u16("msix_control"), u16("lnr_control"), u32("tph_control"), u32("ranges"),
                tail="rest")
RANGE = Layout("TDISP_MMIO_RANGE", u64("first_page"), u32("pages"), u16("attributes"), u16("id"))
NO_UPDATE_AFTER_LOCK, DMA_WITHOUT_PASID = 1, 2          # of interface_info
HAS_MSIX_TABLE, HAS_PBA, NON_TEE = 1, 2, 4              # attributes of a range
