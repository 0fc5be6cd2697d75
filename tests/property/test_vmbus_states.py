"""The bus and a model of its states, told the same messages in any order, say the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.echo_device import EchoDevice, offer
from tests.raw_guest import RawGuest, machine
from vmio.vmbus.bus import messages as m

LIMIT = 60 * 10**9
FIRST, PAGES = 0x200, 8     # where the hostile guest's ring pages are


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("ocrtRgu"), max_size=14))
def test_states_agree_with_the_device(letters):
    """Right messages in any order: a device is open exactly when its channel is."""
    host, guest, server = machine()
    device = offer(server, EchoDevice(host, 1))
    words = {"o": m.OPENCHANNEL.pack(relid=1, gpadl=7, downstream_page=4), "c": m.CLOSECHANNEL.pack(relid=1),
             "t": m.GPADL_TEARDOWN.pack(relid=1, gpadl=7), "R": m.RELID_RELEASED.pack(relid=1), "u": m.UNLOAD.pack(),
             "g": m.gpadl_messages(1, 7, tuple(range(FIRST, FIRST + PAGES)))[0]}

    def program(cpu):
        raw = RawGuest(cpu)
        yield from raw.connect()
        for letter in letters:
            if letter == "r":
                server.rescind(device.channel)
            else:
                yield from raw.post(words[letter])
            yield from raw.replies()
            assert (device.channel.state.value == "open") == (device.opens > device.closes)
            assert device.opens - device.closes in (0, 1)
            if device.channel.state.value == "open":
                assert server.gpadls.by_handle[7] is device.channel.ring

    host.run((guest.cpu, program), limit_ns=LIMIT)
