"""The bridge's messages: a header of 16 bytes, then JSON.  Declarations only; `messages.py` cuts them out of a stream.

Type: bits 31 to 28 request, response or notification; 27 to 20 the category; 19 to 8 what is asked for; 7 to 0 the version.
A response has its request's number and id; its JSON has `Result`, an HRESULT, 0 for success.

Public source: microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/gcs/prot/protocol.go (the host's side) and
internal/guest/prot/protocol.go (the agent's, for Linux).
"""

from enum import IntEnum

from vmio.machine.layout import Layout, u32, u64

MAX_MESSAGE = 0x1_0000      # bytes, with the header
GCS_PORT = 0x4000_0000      # of the host: where the agent connects; processes' stdio have the next ones
PROTOCOL = 4                # the only version that hosts still speak
NO_CONTAINER = "00000000-0000-0000-0000-000000000000"       # the utility guest itself


class Kind(IntEnum):
    """The upper four bits of a type."""

    REQUEST = 0x1000_0000
    RESPONSE = 0x2000_0000
    NOTIFICATION = 0x3000_0000


KIND_MASK = 0xF000_0000


class Rpc(IntEnum):
    """What is asked for: the type without its upper four bits."""

    CREATE = 0x0010_0101
    START = 0x0010_0201
    SHUTDOWN_GRACEFUL = 0x0010_0301
    SHUTDOWN_FORCED = 0x0010_0401
    EXECUTE_PROCESS = 0x0010_0501
    WAIT_FOR_PROCESS = 0x0010_0601
    SIGNAL_PROCESS = 0x0010_0701
    RESIZE_CONSOLE = 0x0010_0801
    GET_PROPERTIES = 0x0010_0901
    MODIFY_SETTINGS = 0x0010_0A01
    NEGOTIATE_PROTOCOL = 0x0010_0B01
    DUMP_STACKS = 0x0010_0C01
    DELETE_CONTAINER_STATE = 0x0010_0D01
    UPDATE_CONTAINER = 0x0010_0E01
    LIFECYCLE_NOTIFICATION = 0x0010_0F01


NOTIFY_CONTAINER = Kind.NOTIFICATION | 0x0010_0101
REQUESTS = {Kind.REQUEST | each: each for each in Rpc}
RESPONSES = {Kind.RESPONSE | each: each for each in Rpc}
TYPES = ({number: f"{rpc.name} request" for number, rpc in REQUESTS.items()} | {NOTIFY_CONTAINER: "container notification"}
         | {number: f"{rpc.name} response" for number, rpc in RESPONSES.items()})

HEADER = Layout("GCS_HEADER", u32("type", names=TYPES), u32("size", "with this header"), u64("id", "a response has its request's"))

# HRESULTs (winerror.h; hcsshim internal/hcs/errors.go)
E_FAIL, E_NOTIMPL, E_INVALIDARG = 0x8000_4005, 0x8000_4001, 0x8007_0057
NO_SUCH_SYSTEM, SYSTEM_EXISTS, NO_SUCH_FILE = 0xC037_010E, 0xC037_010F, 0x8007_0002
GRACEFUL_EXIT, FORCED_EXIT, UNEXPECTED_EXIT = "GracefulExit", "ForcedExit", "UnexpectedExit"
