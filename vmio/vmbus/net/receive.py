"""From a frame to the RNDIS PACKET message that a guest finds in its receive buffer."""

from vmio.machine.net import checksums, headers
from vmio.machine.net.headers import IS_UDP
from vmio.vmbus.net import rndis as r

ROOM = 256 + 36            # bytes of a section beside the frame, as OpenVMM has it (vm/devices/net/netvsp/src/lib.rs)


def message(frame: bytes, checked: bool, vlan: bool, value: int | None) -> bytes:
    """Return the message.  `checked`: say of its checksums whether they are right; `vlan`: its tag goes beside it; `value`: the hash."""
    beside = []
    if value is not None:
        beside.append(_block(r.HASH, value))
    if vlan:
        frame, tag, priority = headers.untag(frame)
        if tag is not None:
            beside.append(_block(r.VLAN, r.VLAN_TAG.number(vlan=tag, priority=priority)))
    if checked:
        about = _checks(frame)
        if about:
            beside.append(_block(r.CHECKSUM, about))
    blocks = b"".join(beside)
    data_offset = r.FIRST_PPI + len(blocks)
    length = r.BODY + data_offset + len(frame)
    return r.PACKET.pack(length=length, data_offset=data_offset, data_length=len(frame), ppi_offset=r.FIRST_PPI if blocks else 0,
                         ppi_length=len(blocks)) + blocks + frame


def _block(kind: int, value: int) -> bytes:
    return r.PPI.pack(size=r.PPI.size + 4, type=kind, data=[value])


def _checks(frame: bytes) -> int:
    """The word about the checksums; 0 if there is nothing to say."""
    found = headers.parse(frame)
    ip, transport = checksums.good(frame, found)
    told: dict[str, int] = {}
    if ip is not None:
        told["ip_good" if ip else "ip_failed"] = 1
    if transport is not None:
        name = "udp" if found.protocol == IS_UDP else "tcp"
        told[f"{name}_good" if transport else f"{name}_failed"] = 1
    return r.RX_CHECKSUM.number(**told)
