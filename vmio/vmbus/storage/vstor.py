"""The storage protocol: what StorVSC (guest) and StorVSP (host) put into their channel's records.

Every payload is one "vstor packet" of 64 bytes: 12 bytes of head, then 52 whose
meaning depends on the operation.  The answer to a request has the same size and
the operation COMPLETE_IO.  Guests of protocol versions below 5.1 send 48 bytes:
their SCSI request ends before `reserved2`.

Public sources: Linux drivers/scsi/storvsc_drv.c; OpenVMM
vm/devices/storage/storvsp_protocol and storvsp.
"""

from vmio.machine.layout import Field, Layout, raw, u16, u32, u64, u8

# Operations
COMPLETE_IO, REMOVE_DEVICE, EXECUTE_SRB, RESET_LUN, RESET_ADAPTER, RESET_BUS = range(1, 7)
BEGIN_INITIALIZATION, END_INITIALIZATION, QUERY_PROTOCOL_VERSION, QUERY_PROPERTIES = range(7, 11)
ENUMERATE_BUS, FCHBA_DATA, CREATE_SUB_CHANNELS, EVENT_NOTIFICATION = range(11, 15)
OPERATIONS = {1: "COMPLETE_IO", 2: "REMOVE_DEVICE", 3: "EXECUTE_SRB", 4: "RESET_LUN", 5: "RESET_ADAPTER",
              6: "RESET_BUS", 7: "BEGIN_INITIALIZATION", 8: "END_INITIALIZATION", 9: "QUERY_PROTOCOL_VERSION",
              10: "QUERY_PROPERTIES", 11: "ENUMERATE_BUS", 12: "FCHBA_DATA", 13: "CREATE_SUB_CHANNELS",
              14: "EVENT_NOTIFICATION"}

REQUEST_COMPLETION = 1  # the only flag
MULTI_CHANNEL = 1       # of the properties

# NTSTATUS, as answers carry it
SUCCESS = 0
DATA_OVERRUN_STATUS = 0x80000005
INVALID_DEVICE_REQUEST = 0xC0000010
INVALID_PARAMETER = 0xC000000D
REVISION_MISMATCH = 0xC0000059
INSUFFICIENT_RESOURCES = 0xC000009A
NO_SUCH_DEVICE = 0xC00000C0
INVALID_DEVICE_STATE = 0xC0000184
IO_DEVICE_ERROR = 0xC0000185
STATUSES = {SUCCESS: "success", DATA_OVERRUN_STATUS: "buffer overflow", INVALID_DEVICE_REQUEST: "invalid request",
            INVALID_PARAMETER: "invalid parameter", REVISION_MISMATCH: "revision mismatch",
            INSUFFICIENT_RESOURCES: "insufficient resources", NO_SUCH_DEVICE: "no such device", INVALID_DEVICE_STATE: "invalid device state",
            IO_DEVICE_ERROR: "I/O error"}

# Protocol versions: major in the upper byte, minor in the lower
WIN6, WIN7, WIN8, WIN8_1, WIN10 = 0x0200, 0x0402, 0x0501, 0x0600, 0x0602
LINUX_VERSIONS = (WIN10, WIN8_1, WIN8)   # in the order in which Linux asks


def version_text(value: int) -> str:
    """0x0602 -> "6.2"."""
    return f"{value >> 8}.{value & 0xFF}"



# SRB (SCSI request block) status: the low six bits, and a flag
SRB_SUCCESS, SRB_ERROR, SRB_INVALID_REQUEST, SRB_DATA_OVERRUN, SRB_INVALID_LUN = 1, 4, 6, 0x12, 0x20
SENSE_VALID = 0x80
SRB_STATUSES = {1: "success", 4: "error", 6: "invalid request", 0x12: "data overrun", 0x20: "invalid LUN",
                0x84: "error, sense valid"}
GOOD, CHECK_CONDITION = 0, 2             # SCSI status

TO_DEVICE, TO_GUEST, NO_DATA = 0, 1, 2   # direction of the data
DIRECTIONS = {0: "to the device", 1: "to the guest", 2: "no data"}

INIT_ID = 0xFFFFFFFF_FFFFFFFD            # transaction ids that are no block request's (include/linux/hyperv.h)
RESET_ID = 0xFFFFFFFF_FFFFFFFC

PACKET_SIZE, OLD_PACKET_SIZE = 64, 48    # bytes; from version 5.1 on, and before
SENSE_SIZE = 20                          # bytes of the CDB/sense field


def _packet(name: str, *fields: Field) -> Layout:
    """A vstor packet: the head, `fields`, and what is left up to 64 bytes."""
    head = (u32("operation", names=OPERATIONS), u32("flags", "1 = completion requested"), u32("status", names=STATUSES))
    left = PACKET_SIZE - 12 - sum(field.size for field in fields)
    return Layout(name, *head, *fields, *([raw("unused", left)] if left else []))


PACKET = _packet("VSTOR_PACKET")
VERSION = _packet("VSTOR_VERSION", u16("version", "major << 8 | minor"), u16("revision"))
PROPERTIES = _packet(
    "VSTOR_PROPERTIES", u32("reserved1"), u16("max_subchannels"), u16("reserved2"), u32("properties", "1 = multi-channel"),
    u32("max_transfer", "bytes"), u64("reserved3"))
SUBCHANNELS = _packet("VSTOR_SUBCHANNELS", u16("subchannels"))
SRB = _packet(
    "VSTOR_SRB",
    u16("length", default=52), u8("srb_status", names=SRB_STATUSES), u8("scsi_status"),
    u8("port"), u8("path"), u8("target"), u8("lun"), u8("cdb_length"), u8("sense_length", default=SENSE_SIZE),
    u8("direction", names=DIRECTIONS), u8("reserved1"), u32("transfer_length", "bytes"),
    raw("cdb", SENSE_SIZE, "CDB in a request, sense in an answer"), u16("reserved2"),
    u8("queue_tag", default=0xFF), u8("queue_action", default=0x20), u32("srb_flags"), u32("timeout", "s", default=60),
    u32("sort_key"))

_BY_OPERATION: dict[int, Layout] = {QUERY_PROTOCOL_VERSION: VERSION, QUERY_PROPERTIES: PROPERTIES, CREATE_SUB_CHANNELS: SUBCHANNELS,
                 EXECUTE_SRB: SRB}


def draw(payload: bytes, answer_to: int | None = None) -> str:
    """Return a vstor packet as a table; for an answer, `answer_to` is the operation it answers."""
    operation = answer_to or PACKET.parse(payload).operation
    return _BY_OPERATION.get(operation, PACKET).draw(payload[:PACKET_SIZE])
