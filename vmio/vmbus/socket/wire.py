"""How a socket between host and guest is named, offered and cut into records: declarations only.

    service_of(0x4000_0000)      the 16 wire bytes of 40000000-facb-11e6-bd58-64006a7986d3
    port_of(service)             0x4000_0000; None for a service that is no port of Linux's

An address is a pair of GUIDs, (virtual machine, service).  The bus says nothing of the first, for a bus has one guest.

Public sources: Linux net/vmw_vsock/hyperv_transport.c and include/linux/hyperv.h; OpenVMM vm/devices/vmbus/vmbus_core/src/protocol.rs
(HvsockUserDefinedParameters, TlConnectRequest) and vmbus_ring/src/lib.rs (pipe_protocol); go-winio and microsoft/hcsshim
internal/gcs/prot/protocol.go for the names of virtual machines.
"""

from vmio.machine.layout import Layout, guid, guid_bytes, raw, u8, u32
from vmio.vmbus.bus.packets import PIPE
from vmio.vmbus.bus.ring import OVERHEAD

TEMPLATE = guid_bytes("00000000-facb-11e6-bd58-64006a7986d3")     # the port stands in the first four bytes
LOOPBACK = guid_bytes("e0e16197-dd56-4a10-9195-5ee7a155a838")     # virtual machine: this one itself,
PARENT = guid_bytes("a42e7cda-d03f-480c-9cc2-a4de20abb878")       # or the host of the one that asks
MAX_LISTEN_PORT = 0x7FFF_FFFF       # nobody listens above; from there on a host's own ends have their numbers

# The user data of an offer with flag HVSOCK.
OFFER = Layout("HVSOCK_OFFER", u32("pipe_type", "0 = a pipe of bytes"), u8("from_host", "1 = the host connects, the guest is to accept"),
               u8("container", "1 = for a container of the guest's"), u32("version", "0, or 1 with a silo", 1),
               guid("silo"), raw("padding", 2))

MAX_PAYLOAD = 16384                 # bytes of one record, from either side
LINUX_PAYLOAD = 4096 - PIPE.size    # bytes: as many as Linux sends in one
RING_PAGES = 6                      # of each ring, its control page among them, if nobody says otherwise


def service_of(port: int) -> bytes:
    """Return the service that Linux knows as a port; ValueError unless it is 0 to 0xFFFFFFFF."""
    if not 0 <= port <= 0xFFFF_FFFF:
        raise ValueError(f"port {port:#x}: 0 to 0xffffffff")
    return port.to_bytes(4, "little") + TEMPLATE[4:]


def port_of(service: bytes) -> int | None:
    """Return the port that stands for a service (or an endpoint), None if it is none of Linux's."""
    return int.from_bytes(service[:4], "little") if service[4:] == TEMPLATE[4:] else None


def record_bytes(payload: int) -> int:
    """Return how many bytes of the ring a record with so many bytes of payload takes."""
    return OVERHEAD + PIPE.size + (payload + 7 & ~7)


FIN_BYTES = record_bytes(0)         # of the record that says: no more will come
