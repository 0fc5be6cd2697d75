"""Accelerated networking: frames go on while a function comes, goes when it is asked for, or is taken away; none is lost, none comes twice."""

import pytest
from tests.net_rig import BROADCAST, PEER, US, NetRig, frame

from vmio.vmbus.net import nvsp as n

GAP_NS = 20_000
MS = 1_000_000


class Rig(NetRig):
    """Frames come from outside all the time, `frames` of them; at `events` {ns since the card is up: name of a method} the host acts."""

    def __init__(self, frames=1500, events=None, **options):
        super().__init__("accelerated", **options)
        self.attachment, self.frames, self.events = self.guest.attachments[0], frames, events or {}
        self.paths = []

    def play(self, cpu, driver, to=US):
        """Hear all, and answer each tenth frame; returns what was heard."""
        began, clock = cpu.now, self.guest.guest.clock
        for ns, name in self.events.items():
            clock.call_at(began + ns, getattr(self.attachment, name))
        for seed in range(self.frames):
            clock.call_at(began + GAP_NS * (seed + 1), lambda seed=seed: self.station._send(frame(to, seed=seed)))
        got, until, sent = [], began + GAP_NS * self.frames + 50 * MS, 0
        while cpu.now < until:
            yield from driver.wait(until)
            for each in driver.reap():
                got.append(each)
                if len(got) % 10 == 0:
                    while not driver.send(frame(PEER, US, seed=sent)):
                        yield from driver.wait(until)
                    sent += 1
            if not self.paths or self.paths[-1] != (driver.function is not None):
                self.paths.append(driver.function is not None)
        return got, sent, driver

    def run_it(self, to=US):
        return self.run(lambda cpu, driver: self.play(cpu, driver, to))

    def whole(self, to=US):
        """Run it; all frames have come once, and all answers have."""
        got, sent, driver = self.run_it(to)
        assert sorted(got) == sorted(frame(to, seed=seed) for seed in range(self.frames)) and self.station.lost == 0
        assert self.station.heard == [frame(PEER, US, seed=seed) for seed in range(sent)] and driver.lost == 0
        return got, driver


def test_without_a_function_it_is_a_split_card():
    rig = Rig(100)
    got, driver = rig.whole()
    assert got == [frame(seed=seed) for seed in range(100)] and rig.paths == [False]
    assert driver.by_function == 0 and rig.attachment.vsp.received[0] == 100


@pytest.mark.parametrize("to", [US, BROADCAST], ids=["unicast", "broadcast"])
def test_a_function_comes_while_frames_flow(to):
    rig = Rig(events={2 * MS: "give"})
    got, driver = rig.whole(to)
    assert got == [frame(to, seed=seed) for seed in range(1500)]             # not even the order has changed
    assert rig.paths == [False, True] and driver.by_card > 0 and driver.by_function > 50
    assert 0 < rig.attachment.vsp.received[0] < 1500 and rig.attachment.vsp.vf.path == n.VF


def test_it_comes_goes_when_asked_for_and_comes_again():
    rig = Rig(3000, events={2 * MS: "give", 20 * MS: "ask_back", 35 * MS: "give", 50 * MS: "ask_back"})
    got, driver = rig.whole()
    assert got == [frame(seed=seed) for seed in range(3000)]
    assert rig.paths == [False, True, False, True, False]
    vsp = rig.attachment.vsp
    assert vsp.vf.switches == 4 and vsp.vf.path == n.SYNTHETIC and rig.attachment.lent.ended and vsp.vf.serial is None
    assert rig.guest.guest.pins == {}


def test_it_is_taken_away_in_mid_stream():
    rig = Rig(events={2 * MS: "give", 20 * MS: "take"})
    got, sent, driver = rig.run_it()
    assert sorted(got) == sorted(frame(seed=seed) for seed in range(1500)) and rig.station.lost == 0
    assert len(rig.station.heard) == sent - driver.lost and driver.lost <= 1 and driver.function is None
    assert rig.paths == [False, True, False]
    assert rig.attachment.vsp.vf.path == n.SYNTHETIC and rig.attachment.lent.ended


@pytest.mark.parametrize("after", [0, 50_000, 300_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000])
@pytest.mark.parametrize("how", ["take", "ask_back"])
def test_the_host_changes_its_mind_while_the_function_comes_up(how, after):
    rig = Rig(400, events={2 * MS: "give", 2 * MS + after: how, 30 * MS: "give"})
    got, sent, driver = rig.run_it()
    assert sorted(got) == sorted(frame(seed=seed) for seed in range(400)) and rig.station.lost == 0
    assert len(rig.station.heard) == sent - driver.lost and driver.lost <= 1 and driver.function is not None


def test_frames_by_the_function_are_no_exits():
    """The same traffic, with and without a function."""
    exits = []
    for events in ({}, {1: "give"}):
        rig = Rig(1500, events=events)
        rig.whole()
        exits.append(sum(row.count for row in rig.guest.cpu.exits.rows if row.instruction == "VMCALL"))
    assert exits[1] < exits[0] / 3


def test_a_path_that_nobody_has_is_not_taken():
    rig = NetRig("accelerated")

    def program(cpu, driver):
        yield from driver.card.ask(n.DATA_PATH.pack(path=n.VF), n.HEAD)
        yield from driver.card.ask(n.DATA_PATH.pack(path=7), n.HEAD)
        return rig.guest.attachments[0].vsp.vf.path
    assert rig.run(program) == n.SYNTHETIC


def test_what_the_host_can_not_do():
    rig = Rig(0)
    rig.attachment.ask_back()                   # there is nothing
    run = rig.machine.start((rig.guest, rig.play))
    for _ in range(400):
        run.step(1000)
    rig.attachment.give()
    with pytest.raises(ValueError, match="it has nic0-vf0 already"):
        rig.attachment.give()
    run.to_the_end()
