"""A guest's virtio network card on a whole machine: frames both ways, a full queue, and a host that answers what it was never lent."""

import pytest

from vmio.drivers.errors import DriverError
from vmio.drivers.virtio_net import BUFFER, ENTRIES
from vmio.experiments import net_ping
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment
from vmio.virtio import features as f
from vmio.virtio import net as device
from vmio.virtio import net_wire as w

OWN, OTHER = net_ping.GUEST, net_ping.STATION
TO_OTHER, TO_OWN = OTHER + OWN + b"\x08\0", OWN + OTHER + b"\x08\0"


class Far:
    """The station at the other end of the cable: `heard` is what has come."""

    def __init__(self, port):
        self.port, self.heard = port, []
        port.connect(self)

    def receive(self, frame):
        self.heard.append(frame)
        return True

    def link_changed(self, up):
        pass


def rig():
    """(a guest with a card, the station far away, the card's attachment)."""
    machine, cable = Machine(), Cable()
    part = attachment("net", "split", dialect="virtio", address=OWN)
    guest = machine.guest().attach(part, backend=cable.ends[0])
    machine.power_on()
    return guest, Far(cable.ends[1]), part


@pytest.mark.parametrize("missing", [0, f.EVENT_IDX], ids=["event index", "flags"])
def test_frames_both_ways_are_the_same_bytes(monkeypatch, missing):
    monkeypatch.setattr(device.Net.__init__, "__defaults__", ((256, 256, 64), device.FEATURES & ~missing))
    guest, far, part = rig()
    out = [TO_OTHER + bytes([n]) * (46 + n) for n in range(100)] + [TO_OTHER.ljust(1514, b"o")]
    back = [TO_OWN + bytes([n]) * (46 + n) for n in range(3 * ENTRIES)] + [TO_OWN.ljust(1514, b"i")]
    got = []

    def work(cpu, card):
        assert card.address == OWN
        for frame in out:
            while not card.send(frame):
                yield from card.wait()
        while card.pending:
            yield from card.wait()
        for frame in back:
            far.port.send(frame)
            yield from card.wait()
            got.extend(card.reap())
    guest.run(work)
    assert far.heard == out and got == back
    assert (part.card.agreed & f.EVENT_IDX == 0) == bool(missing) and part.card.broken is None


def test_a_full_queue_says_so_and_loses_nothing():
    guest, far, _ = rig()

    def work(cpu, card):
        taken = 0
        while card.send(TO_OTHER + bytes([taken]) * 46):
            taken += 1
        assert taken == card.pending == ENTRIES
        while card.pending:
            yield from card.wait()
        assert card.send(TO_OTHER.ljust(60, b"z"))
        while card.pending:
            yield from card.wait()
    guest.run(work)
    assert [frame[14] for frame in far.heard] == [*range(ENTRIES), ord("z")]


def test_a_frame_that_is_too_long_is_refused():
    guest, far, _ = rig()

    def work(cpu, card):
        with pytest.raises(DriverError, match="a frame of 1515 bytes; at most 1514"):
            card.send(TO_OTHER.ljust(1515, b"x"))
        yield from cpu.pay()
    guest.run(work)
    assert far.heard == []


@pytest.mark.parametrize("written", [0, w.HEADER.size, BUFFER + 1, 0xFFFF_FFFF])
def test_a_host_that_lies_about_a_frame_gets_no_further(monkeypatch, written):
    """The device says that it wrote nothing, a header alone, or more than it was lent."""
    guest, far, part = rig()

    def work(cpu, card):
        queue = part.card.queues[device.RECEIVE]
        put = queue.put
        monkeypatch.setattr(queue, "put", lambda chain, _: put(chain, written))
        far.port.send(TO_OWN.ljust(60, b"x"))
        with pytest.raises(DriverError, match=f"it wrote {written} bytes (to chain .*, which has room for {BUFFER}|for a frame; its header alone has 12)$"):
            for _ in range(3):
                yield from card.wait()
        assert card.reap() == []
        with pytest.raises(DriverError, match=f"it wrote {written} bytes"):
            card.send(TO_OTHER.ljust(60, b"x"))
    guest.run(work)


def test_a_card_without_an_address_does_not_come_up(monkeypatch):
    monkeypatch.setattr(device.Net.__init__, "__defaults__", ((256, 256, 64), device.FEATURES & ~w.MAC))
    guest, _, _ = rig()
    with pytest.raises(DriverError, match="and no address among them"):
        guest.run(lambda cpu, card: cpu.pay())


def test_pings_cost_a_kick_and_a_halt():
    found = net_ping.run("split by virtio", 3)
    assert (found.answered, found.interrupts) == (3, 3)
    assert found.counts() == {("EPT_VIOLATION", "virtio doorbell"): 3, ("HLT", "hypervisor"): 3}


def test_it_cannot_be_saved_yet_and_says_so():
    _, _, part = rig()
    with pytest.raises(CheckpointRefused, match="a virtio network card of guest guest0 can't be saved yet"):
        part.save(type("Saving", (), {"now": 0})())
    with pytest.raises(CheckpointRefused, match="a virtio network card can't be restored yet"):
        part.restore({}, None, None)
