"""NVMe's names and layouts: registers, opcodes, status codes, queue entries.  Declarations only.

Source: NVM Express Base Specification 1.4 (NVMe 1.4): 3.1 registers, 4.2
submission queue entry, 4.6 completion queue entry, 4.6.1.2 status codes, 5 and
6 the two command sets.
"""

from vmio.machine.layout import Field, Layout, placed, raw, u16, u32, u64, u8
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

# 3.1: the registers at the beginning of BAR 0, and their offsets
REGISTERS = placed("NVME_REGISTERS", 0x38, {
    0x00: u64("cap", "capabilities"), 0x08: u32("vs", "version"), 0x0C: u32("intms"), 0x10: u32("intmc"),
    0x14: u32("cc", "configuration"), 0x1C: u32("csts", "status"), 0x20: u32("nssr"), 0x24: u32("aqa", "sizes of the admin queues"),
    0x28: u64("asq", "admin submission queue"), 0x30: u64("acq", "admin completion queue")})
CAP, VS, INTMS, INTMC, CC, CSTS, NSSR, AQA, ASQ, ACQ = (REGISTERS.at(name)[0] for name in (
    "cap", "vs", "intms", "intmc", "cc", "csts", "nssr", "aqa", "asq", "acq"))
DOORBELLS = 0x1000            # CAP.DSTRD 0: SQ0 tail, CQ0 head, SQ1 tail, ... every 4 bytes

# 3.1.5, 3.1.6
CC_EN = 1
CC_SHN = 3 << 14
CSTS_RDY, CSTS_CFS, CSTS_SHST, CSTS_SHST_DONE = 1, 2, 3 << 2, 2 << 2

def _command(name: str, opcodes: dict[int, str], *fields: Field) -> Layout:
    """A submission queue entry: what all commands have (4.2), then `fields` instead of command dwords 10 to 15."""
    return Layout(name, u8("opcode", names=opcodes), u8("flags"), u16("command_id"), u32("namespace"), raw("reserved", 16),
                  u64("prp1", "host-physical page"), u64("prp2"), *fields)


COMMAND = _command("NVME_COMMAND", {}, *(u32(f"dword{n}") for n in range(10, 16)))
# READ and WRITE (6.9, 6.15): starting LBA instead of dwords 10 and 11, then count and control
READ_WRITE = _command("NVME_READ_WRITE", {1: "WRITE", 2: "READ"},
                      u64("lba"), u32("count", "blocks less 1"), raw("rest", 12))
COMPLETION = Layout("NVME_COMPLETION", u32("result"), u32("reserved"), u16("sq_head"), u16("sq_id"), u16("command_id"),
                    u16("status", "status code << 1 | phase"))                                          # 4.6
RANGE = Layout("NVME_RANGE", u32("attributes"), u32("blocks"), u64("first", "block"))                  # 6.7
DATA_DESCRIPTOR = Layout("NVME_SGL_DESCRIPTOR", u64("address"), u32("length", "bytes"), raw("reserved", 3),
                         u8("kind", "type in bits 7:4"))                                                # 4.4

SQE_BYTES, CQE_BYTES = COMMAND.size, COMPLETION.size
SQE = COMMAND.only("opcode", "flags", "command_id", "namespace", "prp1", "prp2", *(f"dword{n}" for n in range(10, 16)))
SQE_RW = READ_WRITE.only("opcode", "flags", "command_id", "namespace", "prp1", "prp2", "lba", "count", whole=True)
CQE = COMPLETION.struct

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
LBA_OUT_OF_RANGE, CAPACITY_EXCEEDED = 0x080, 0x081
INVALID_CQ, INVALID_QID, INVALID_QUEUE_SIZE, TOO_MANY_EVENTS = 0x100, 0x101, 0x102, 0x105
INVALID_VECTOR, INVALID_FORMAT, INVALID_QUEUE_DELETION = 0x108, 0x10A, 0x10C
NOT_SAVEABLE, NOT_CHANGEABLE, NOT_NAMESPACE_SPECIFIC = 0x10D, 0x10E, 0x10F
COMMAND_SET_REJECTED, SIZE_LIMIT = 0x02B, 0x183
WRITE_FAULT, READ_ERROR, COMPARE_FAILED = 0x280, 0x281, 0x285

EVERY_NAMESPACE = 0xFFFF_FFFF
NAMESPACES = 256              # valid identifiers; only 1 exists
SECTOR = 512
MDTS = 7                      # a transfer is at most 2^7 memory pages (5.15.2.2, MDTS)

# 5.2.1: asynchronous events
EVENT_ERROR, EVENT_SMART, EVENT_NOTICE = 0, 1, 2
BAD_DOORBELL_REGISTER, BAD_DOORBELL_VALUE = 0, 1
TEMPERATURE_THRESHOLD = 1

STATUS_NAMES = {
    SUCCESS: "success", INVALID_OPCODE: "invalid opcode", INVALID_FIELD: "invalid field",
    DATA_TRANSFER_ERROR: "data transfer error", INTERNAL_ERROR: "internal error",
    ABORTED_SQ_DELETED: "aborted: queue deleted", INVALID_NAMESPACE: "invalid namespace",
    SEQUENCE_ERROR: "command sequence error", INVALID_PRP_OFFSET: "invalid PRP offset",
    LBA_OUT_OF_RANGE: "LBA out of range", CAPACITY_EXCEEDED: "capacity exceeded", INVALID_CQ: "invalid completion queue", INVALID_QID: "invalid queue id",
    INVALID_QUEUE_SIZE: "invalid queue size", TOO_MANY_EVENTS: "too many asynchronous event requests",
    INVALID_VECTOR: "invalid interrupt vector", INVALID_FORMAT: "invalid format",
    INVALID_QUEUE_DELETION: "invalid queue deletion", NOT_SAVEABLE: "feature not saveable",
    NOT_CHANGEABLE: "feature not changeable", NOT_NAMESPACE_SPECIFIC: "feature not namespace specific",
    SIZE_LIMIT: "command size limit exceeded", WRITE_FAULT: "write fault", READ_ERROR: "unrecovered read error", COMPARE_FAILED: "compare failure",
}

FAULTS = (MemoryFault, TranslationFault)   # what a DMA that memory refuses raises


class Failed(Exception):
    """A command ends with a status other than success; `status` as in a completion entry, bits 14:0."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(describe(status))


def describe(status: int) -> str:
    """Return a status in words: `LBA out of range (080h)`."""
    return f"{STATUS_NAMES.get(status & 0x7FF, 'status')} ({status & 0x7FF:03X}h)"
