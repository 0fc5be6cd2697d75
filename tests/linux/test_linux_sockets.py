"""Linux's own hv_sock on our sockets: it connects and is connected to, bytes go both ways, it ends its side and gives the channel back."""

from types import SimpleNamespace

import pytest

from tests import vsock_program
from tests.linux_files import with_sockets
from tests.linux_rig import warnings
from vmio.boot.params import BootParams
from vmio.boot.run import Boot
from vmio.linux import initramfs
from vmio.machine.probes import watch
from vmio.vmbus.socket.service import SocketService
from vmio.vmbus.socket.wire import LINUX_PAYLOAD, service_of

PORT = 5000
DATA = bytes(n * 7 % 251 for n in range(100_000))
COMMANDS = {"connects": ["peer && echo PEER IS DONE", "nobody || echo NOBODY IS THERE"],
            "listens": ["peer & PEER=$!", "sleep 0.2", "mark listens", "wait $PEER && echo PEER IS DONE"]}
WARNED = ["sleep 0.2", "echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS"]


def talk(socket, one):
    """The host's program: it sends all of it, ends its side, and takes what comes back."""
    one.sockets.append(socket)

    def look():
        data = socket.read()
        if data:
            one.got += data
    socket.on_change = look
    socket.send(DATA)
    socket.finish()


@pytest.fixture(scope="module", params=COMMANDS)
def conversation(request, tmp_path_factory):
    """One boot in which a program of Linux's sends back what the host sends, over a connection that one of the two has made."""
    kept, listens = with_sockets(tmp_path_factory.mktemp("sockets")), request.param == "listens"
    programs = {"peer": vsock_program.program(PORT, listens), "nobody": vsock_program.program(PORT + 1)}
    archive = initramfs.build(kept, [*COMMANDS[request.param], *WARNED], ["hv_sock"], programs)
    boot = Boot(BootParams(quiet=True, timeout=600, services=True, virtual_timeout=60_000), kept.read("vmlinuz"), archive)
    one = SimpleNamespace(sockets=[], got=bytearray(), listens=listens, boot=boot)
    one.bus = boot.guest.platform.bus
    one.service = SocketService(boot.guest.host, boot.guest.guest, one.bus)
    if listens:
        watch(boot.console, "marked", lambda name: talk(one.service.connect(service_of(PORT)), one) if name == "listens" else None)
    else:
        one.service.listen(service_of(PORT), lambda socket: talk(socket, one))
    one.result = boot.run()
    return one


def test_bytes_go_both_ways_and_come_back_as_they_went(conversation):
    assert conversation.result.good and "PEER IS DONE" in conversation.result.console_text, conversation.result.console_text[-2000:]
    assert bytes(conversation.got) == DATA


def test_it_ends_its_side_and_gives_the_channel_back(conversation):
    (socket,) = conversation.sockets
    assert socket.over == "" and socket.from_host == conversation.listens and conversation.service.ended == {"both sides had ended": 1}
    assert conversation.service.held == 0 and not any(channel.device is socket for channel in conversation.bus.channels.values())


def test_its_records_are_of_its_size(conversation):
    """From Linux at most 4,088 bytes each; and each side's last one, which is empty."""
    stream = conversation.sockets[0].stream
    assert stream.received == stream.sent == len(DATA) and stream.ended and stream.finished
    assert stream.records >= 2 + -(-len(DATA) // LINUX_PAYLOAD) + -(-len(DATA) // 16384)


def test_it_is_told_when_nobody_listens(conversation):
    """Linux does not look at message 23: its caller waits until two seconds are over."""
    if conversation.listens:
        assert conversation.service.refused == {}
    else:
        assert conversation.service.refused == {"nobody listens": 1} and "NOBODY IS THERE" in conversation.result.console_text


def test_the_kernel_warns_of_nothing(conversation):
    assert [line for line in warnings(conversation.result) if "hv_" in line or "vmbus" in line.lower() or "vsock" in line] == []
