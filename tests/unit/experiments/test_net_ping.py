"""One ping, exit by exit, and frames in bursts: what the lesson on packets counts."""

import pytest

from vmio.experiments import net, net_bursts, net_handover, net_ping
from vmio.host.net.echo import Echo
from vmio.machine.net import checksums, headers


def test_a_ping_is_a_frame_that_a_station_understands():
    frame = net_ping.request(7)
    found = headers.parse(frame)
    assert (frame[:6], frame[6:12], found.protocol) == (net_ping.STATION, net_ping.GUEST, headers.IS_ICMP)
    assert len(frame) == 98 and checksums.good(frame, found)[0] and checksums.total(frame[found.transport:]) == 0xFFFF
    heard = []

    class Port:
        def connect(self, station):
            self.station = station

        def send(self, answer):
            heard.append(answer)
            return True
    port = Port()
    Echo(port, net_ping.STATION, net_ping.STATION_IP)
    port.station.receive(frame)
    assert heard[0][:6] == net_ping.GUEST and heard[0][-len(net_ping.DATA):] == net_ping.DATA


@pytest.mark.parametrize("mode", net.MODES)
def test_each_ping_costs_the_same(mode):
    one, four = net_ping.run(mode), net_ping.run(mode, 4)
    assert (one.answered, four.answered) == (1, 4) and one.setup_exits == four.setup_exits
    assert {key: 4 * count for key, count in one.counts().items()} == dict(four.counts())
    assert four.interrupts == 4 * one.interrupts > 0


def test_ten_accesses_on_a_tulip_two_signals_on_a_ring():
    tulip = [(net_ping.executed(one), (one.address - net_ping.PORTS) // 8) for one in net_ping.run().seen if one.device == "tulip"]
    assert tulip == [("OUT", 1), ("IN", 5), ("OUT", 7), ("OUT", 5), ("IN", 5), ("IN", 8), ("IN", 5), ("OUT", 5), ("IN", 5), ("OUT", 7)]
    assert dict(net_ping.run("split").counts()) == {("VMCALL", "hypervisor"): 2, ("HLT", "hypervisor"): 1}


def test_a_function_of_ones_own_is_touched_without_an_exit():
    assert dict(net_ping.run("passthrough").counts()) == {("EXTERNAL_INTERRUPT", "hypervisor"): 1}


def test_what_the_set_up_was_for():
    tulip = net_ping.setup()
    assert sum(tulip.values()) == net_ping.run().setup_exits == 25_545
    assert tulip[net_ping.ROM] == 150 + 63 * 140 and tulip[net_ping.PHY] > 32 * 291
    assert sum(net_ping.setup("split").values()) == net_ping.run("split").setup_exits < 200


@pytest.mark.parametrize("mode", net.MODES)
def test_longer_bursts_cost_less_and_lose_nothing(mode):
    found = net_bursts.run(mode)
    assert [one.size for one in found] == list(net_bursts.SIZES) and all(one.arrived == net_bursts.FRAMES for one in found)
    exits = [one.exits_total for one in found]
    assert exits == sorted(exits, reverse=True) and exits[0] > exits[-1]


def test_a_tulip_is_told_of_each_frame_and_a_ring_only_of_the_first():
    emulated, split = (net_bursts.run(mode, sizes=(32,))[0] for mode in ("emulated", "split"))
    assert emulated.exits["OUT"] >= net_bursts.FRAMES == emulated.records
    assert split.exits == {"VMCALL": 1, "HLT": 1}
    assert [net_bursts.run("split", batch, (32,))[0].records for batch in (1, 2, 8)] == [32, 16, 4]


def test_a_function_comes_and_goes_and_no_frame_is_lost():
    found = net_handover.run()
    assert [one.ms for one in found] == [0, 10, 20, 30, 40, 50]
    assert all(one.arrived == one.by_card + one.by_function == 50 for one in found)
    first, comes, *there, goes, last = found
    assert first.by_function == last.by_function == 0 and all(one.by_card == 0 and "VMCALL" not in one.exits for one in there)
    assert 0 < comes.by_card < 50 > goes.by_function > 0
    assert sum(comes.exits.get(f"MOV {way} memory", 0) for way in ("to", "from")) > 0
    assert not any(name.startswith("MOV") for one in (first, *there, last) for name in one.exits)
