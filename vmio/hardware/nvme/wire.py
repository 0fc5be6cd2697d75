"""NVMe's names and layouts: registers, opcodes, status codes, queue entries.  Declarations only.

Source: NVM Express Base Specification 1.4 (NVMe 1.4): 3.1 registers, 4.2
submission queue entry, 4.6 completion queue entry, 4.6.1.2 status codes, 5 and
6 the two command sets.
"""

import struct

from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

# 3.1: offsets within BAR 0
CAP, VS, INTMS, INTMC, CC, CSTS, NSSR = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x20
AQA, ASQ, ACQ = 0x24, 0x28, 0x30
DOORBELLS = 0x1000            # CAP.DSTRD 0: SQ0 tail, CQ0 head, SQ1 tail, ... every 4 bytes

# 3.1.5, 3.1.6
CC_EN = 1
CC_SHN = 3 << 14
CSTS_RDY, CSTS_CFS, CSTS_SHST, CSTS_SHST_DONE = 1, 2, 3 << 2, 2 << 2

SQE_BYTES, CQE_BYTES = 64, 16
# opcode, flags, command id, nsid, PRP1, PRP2, command dwords 10 to 15
SQE = struct.Struct("<BBHI16xQQ6I")
# the same for READ and WRITE: starting LBA instead of dwords 10 and 11, count and control
SQE_RW = struct.Struct("<BBHI16xQQQI12x")
CQE = struct.Struct("<IIHHHH")   # result, reserved, SQ head, SQ id, command id, status << 1 | phase

# 4.2, command dword 0
FUSED, SGL = 0x03, 0xC0

# 5: admin opcodes
DELETE_SQ, CREATE_SQ, GET_LOG_PAGE, DELETE_CQ, CREATE_CQ, IDENTIFY = 0x00, 0x01, 0x02, 0x04, 0x05, 0x06
ABORT, SET_FEATURES, GET_FEATURES, ASYNC_EVENT = 0x08, 0x09, 0x0A, 0x0C
NAMESPACE_ATTACHMENT, VIRTUALIZATION, DOORBELL_BUFFER, FORMAT_NVM = 0x15, 0x1C, 0x7C, 0x80

# 6: NVM opcodes
FLUSH, WRITE, READ, COMPARE, WRITE_ZEROES, DATASET, VERIFY, COPY = 0x00, 0x01, 0x02, 0x05, 0x08, 0x09, 0x0C, 0x19

# 4.6.1.2: status code type in bits 10:8, status code in 7:0; bit 14 Do Not Retry
DNR = 0x4000
SUCCESS = 0x000
INVALID_OPCODE, INVALID_FIELD, DATA_TRANSFER_ERROR, INTERNAL_ERROR = 0x001, 0x002, 0x004, 0x006
ABORTED_SQ_DELETED, INVALID_NAMESPACE, SEQUENCE_ERROR, INVALID_PRP_OFFSET = 0x008, 0x00B, 0x00C, 0x013
INVALID_SGL_LENGTH, INVALID_SGL_TYPE = 0x00F, 0x011
LBA_OUT_OF_RANGE = 0x080
INVALID_CQ, INVALID_QID, INVALID_QUEUE_SIZE, TOO_MANY_EVENTS = 0x100, 0x101, 0x102, 0x105
INVALID_VECTOR, INVALID_FORMAT, INVALID_QUEUE_DELETION = 0x108, 0x10A, 0x10C
NOT_SAVEABLE, NOT_CHANGEABLE, NOT_NAMESPACE_SPECIFIC = 0x10D, 0x10E, 0x10F
COMMAND_SET_REJECTED, SIZE_LIMIT = 0x02B, 0x183
WRITE_FAULT, COMPARE_FAILED = 0x280, 0x285

EVERY_NAMESPACE = 0xFFFF_FFFF
NAMESPACES = 256              # valid identifiers; only 1 exists
SECTOR = 512
MDTS = 7                      # a transfer is at most 2^7 memory pages (5.15.2.2, MDTS)

# 5.2.1: asynchronous events
EVENT_ERROR, EVENT_SMART = 0, 1
BAD_DOORBELL_REGISTER, BAD_DOORBELL_VALUE = 0, 1
TEMPERATURE_THRESHOLD = 1

STATUS_NAMES = {
    SUCCESS: "success", INVALID_OPCODE: "invalid opcode", INVALID_FIELD: "invalid field",
    DATA_TRANSFER_ERROR: "data transfer error", INTERNAL_ERROR: "internal error",
    ABORTED_SQ_DELETED: "aborted: queue deleted", INVALID_NAMESPACE: "invalid namespace",
    SEQUENCE_ERROR: "command sequence error", INVALID_PRP_OFFSET: "invalid PRP offset",
    LBA_OUT_OF_RANGE: "LBA out of range", INVALID_CQ: "invalid completion queue", INVALID_QID: "invalid queue id",
    INVALID_QUEUE_SIZE: "invalid queue size", TOO_MANY_EVENTS: "too many asynchronous event requests",
    INVALID_VECTOR: "invalid interrupt vector", INVALID_FORMAT: "invalid format",
    INVALID_QUEUE_DELETION: "invalid queue deletion", NOT_SAVEABLE: "feature not saveable",
    NOT_CHANGEABLE: "feature not changeable", NOT_NAMESPACE_SPECIFIC: "feature not namespace specific",
    SIZE_LIMIT: "command size limit exceeded", WRITE_FAULT: "write fault", COMPARE_FAILED: "compare failure",
}

FAULTS = (MemoryFault, TranslationFault)   # what a DMA that memory refuses raises


class Failed(Exception):
    """A command ends with a status other than success; `status` as in a completion entry, bits 14:0."""

    def __init__(self, status):
        self.status = status
        super().__init__(describe(status))


def describe(status):
    """A status in words: `LBA out of range (080h)`."""
    return f"{STATUS_NAMES.get(status & 0x7FF, 'status')} ({status & 0x7FF:03X}h)"
