"""Hosts that lie to their guests about what they are: about a version, or about a size.

A guest has to read every answer of its host as one of a stranger's.  Each lie here changes one answer of an honest host.
Sources of what a careful guest checks: Linux, drivers/scsi/storvsc_drv.c (storvsc_channel_init), drivers/net/hyperv/netvsc.c
(netvsc_init_buf), drivers/hv/connection.c.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmio.experiments import mix_kinds as k
from vmio.hypervisor.guest import Guest
from vmio.machine.contracts import Buffer
from vmio.modes.disk_split import SplitDisk
from vmio.modes.net_split import SplitNet
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.packets import Packet
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net.netvsp import NetVsp
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.storvsp import StorVsp

NOBODY_THERE = 0x77          # a message connection that no host has


class Altered:
    """A request whose answer is changed on its way: `change(asked, answer)`."""

    def __init__(self, request: Answerable, asked: bytes, change: Callable[[bytes, bytes], bytes]) -> None:
        self.request, self.asked, self.change = request, asked, change

    def complete(self, payload: Buffer, transaction_id: int) -> bool:
        """Answer, with what the lie makes of it; returns what `Answerable.complete` does."""
        return self.request.complete(self.change(self.asked, bytes(payload)), transaction_id)

    def end(self) -> bool:
        """End it without an answer, and without a lie; returns what `Answerable.end` does."""
        return self.request.end()


def lying_disk(change: Callable[[bytes, bytes], bytes]) -> type[SplitDisk]:
    """Return a split disk whose host's half changes its answers."""
    class Half(StorVsp):
        def packet(self, request: Answerable, packet: Packet, primary: bool = True) -> None:
            super().packet(Altered(request, packet.payload, change), packet, primary)

    class Disk(SplitDisk):
        host_half = Half
    return Disk


def lying_card(change: Callable[[bytes, bytes], bytes]) -> type[SplitNet]:
    """Return a split network card whose host's half changes its answers."""
    class Half(NetVsp):
        def packet(self, request: Answerable, packet: Packet, channel: int = 0) -> None:
            super().packet(Altered(request, packet.payload, change), packet, channel)

    class Card(SplitNet):
        host_half = Half
    return Card


class LyingBus(VmbusServer):
    """A bus that agrees to a version, and names a connection for all further messages at which nobody listens."""

    def _send(self, message: bytes, vp: int | None = None, sint: int = m.VMBUS_SINT) -> None:
        if m.HEADER.parse(message).type == m.Message.VERSION_RESPONSE and m.VERSION_RESPONSE.parse(message).supported:
            message = m.VERSION_RESPONSE.pack(supported=1, connection_id=NOBODY_THERE)
        super()._send(message, vp, sint)


@dataclass(frozen=True)
class Lie:
    """`what` the host says that is not so; `disk`, `net` and `bus` are who says it."""

    name: str
    what: str
    disk: Callable[..., Any] = SplitDisk
    net: Callable[..., Any] = SplitNet
    bus: Callable[[Guest, Sequence[int]], VmbusServer] | None = None
    after: dict[str, Callable[[Any], None]] = field(default_factory=dict)     # what is done to a device once it is plugged in


def _another_version(asked: bytes, answer: bytes) -> bytes:
    """Storage: yes, but to a version that was not asked for."""
    if v.PACKET.parse(asked).operation != v.QUERY_PROTOCOL_VERSION or v.PACKET.parse(answer).status:
        return answer
    return v.VERSION.pack(version=v.WIN6)[:len(answer)]


def _no_bytes(asked: bytes, answer: bytes) -> bytes:
    """Storage: at most 0 bytes a request."""
    if v.PACKET.parse(asked).operation != v.QUERY_PROPERTIES:
        return answer
    return v.PROPERTIES.pack(max_transfer=0)[:len(answer)]


def _huge_sections(asked: bytes, answer: bytes) -> bytes:
    """Network: the receive buffer, cut into far more than it holds."""
    if len(answer) < n.HEAD.size or n.HEAD.parse(answer).type != n.Nvsp.SEND_RECV_BUF_COMPLETE:
        return answer
    return n.RECV_BUF_COMPLETE.pack(status=n.SUCCESS, sections=1, section_bytes=1 << 20, section_count=1 << 20).ljust(len(answer), b"\0")


HONEST = Lie("none", "the host says what is so")
LIES = (
    HONEST,
    Lie("connection", "VMBus: post your messages to connection 77h (nobody listens there)", bus=LyingBus),
    Lie("version", "storage: yes, we speak version 2.0 (asked for another)", disk=lying_disk(_another_version)),
    Lie("transfer size", "storage: a request moves 0 bytes at most", disk=lying_disk(_no_bytes)),
    Lie("capacity", "storage: twice as many sectors as there are", after={k.SCSI: lambda part: part.vsp.disks[0][0].grow(2 * part.backend.sectors)}),
    Lie("sections", "network: your buffer has 1,048,576 sections of 1 MiB", net=lying_card(_huge_sections)),
)


def lie(name: str) -> Lie:
    """Return the lie of that name; ValueError with those that there are."""
    for one in LIES:
        if one.name == name:
            return one
    raise ValueError(f"lie {name!r}: choose one of {', '.join(each.name for each in LIES)}")
