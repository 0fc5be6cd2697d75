"""Attacks over sockets: a record that lies about its size, ends without end, more connections than there is room for."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmio.attacks.catalogue import collection
from vmio.attacks.container_world import ECHO, NOBODY, ContainerWorld
from vmio.attacks.defence import without
from vmio.attacks.verdict import FAIL, REJECT, WEDGED
from vmio.attacks.world import RAM_MIB
from vmio.drivers.pages import GuestPages
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.memory import PAGE
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.messages import TL_CONNECT_REQUEST
from vmio.vmbus.bus.packets import PIPE, Packet
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.socket import service as sockets
from vmio.vmbus.socket.host_socket import HostSocket
from vmio.vmbus.socket.stream import SocketStream
from vmio.vmbus.socket.wire import RING_PAGES, service_of

LINUX = "Linux net/vmw_vsock/hyperv_transport.c (hvs_update_recv_data)"
OPENVMM = "OpenVMM vm/devices/vmbus/vmbus_async/src/pipe.rs"
SAID = 2 * RING_PAGES * PAGE            # bytes: as many as a connection's two rings have
RINGS = (RAM_MIB << 20) - SAID          # guest-physical: where they lie
ATTACKS, attack = collection("sockets", "split", ContainerWorld, "rings")


@contextmanager
def copied_as_said(world: ContainerWorld) -> Iterator[None]:
    """As many bytes are copied as the record says, from its place in memory on: the ring's end is no end."""
    def data(self: SocketStream, packet: Packet) -> bytes:
        if self not in [each.stream for each in world.echoing]:
            return real(self, packet)
        return world.host.memory.read(world.attacker.ram_spa(RINGS + PAGE + 24), PIPE.parse(packet.payload).size)
    with without(SocketStream, "data", data) as real:
        yield


@attack("socket-size-lies", "A record that says more bytes than it has", "bytes come out of the record that says so", LINUX,
        "the size is compared with the record's, and with 16 KiB", copied_as_said, REJECT, FAIL, wall="record's size")
def size_lies(world: ContainerWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    talker.client.pages = GuestPages(RINGS, RINGS + SAID)       # the last of our RAM
    socket = yield from world.connect(cpu)
    socket.stream.end.send(PIPE.pack(size=SAID) + b"little")
    while len(world.loot) < SAID and (data := (yield from socket.receive())):
        world.loot += data


@contextmanager
def ends_are_records(world: ContainerWorld) -> Iterator[None]:
    """The end is a record like any other, kept until the host's program reads it; and it has no bytes that could count."""
    def packet(self: HostSocket, request: Answerable, record: Packet) -> None:
        if PIPE.parse(record.payload).size:
            return real(self, request, record)
        self._unread.append((b"", request))
        request.end()
    with without(HostSocket, "packet", packet) as real:
        yield


@attack("socket-end-flood", "Say that no more will come, ten thousand times", "nothing comes after the end", OPENVMM,
        "a record after the end ends the connection", ends_are_records, REJECT, WEDGED, wall="end of the stream")
def end_flood(world: ContainerWorld, cpu: VCpu) -> Steps:
    world.slow = True
    socket = yield from world.connect(cpu)
    for _ in range(40):
        try:
            while True:
                socket.stream.end.send(PIPE.pack())
        except RingFull:
            yield from cpu.hlt(50_000)


@attack("socket-connect-flood", "Connect, and connect, and never give back", "a guest has so many connections, and no more",
        "OpenVMM vm/devices/vmbus/vmbus_server/src/lib.rs (MAX_CONCURRENT_HVSOCK_REQUESTS)",
        "connections are counted until the guest gives their channels back", lambda world: without(sockets, "MOST", 1 << 20), REJECT, WEDGED,
        wall="64 connections", door="messages")
def connect_flood(world: ContainerWorld, cpu: VCpu) -> Steps:
    talker = yield from world.talk(cpu)
    for n in range(200):
        for service in (ECHO, NOBODY):
            yield from talker.client._post(TL_CONNECT_REQUEST.pack(endpoint=service_of(4096 + n), service=service))
    yield from world.rest(cpu)
