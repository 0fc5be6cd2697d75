"""The virtual switch: who sees which frame, and why others go no further; nothing a station sends makes it grow."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.switch_rig import BROADCAST, Card, Network, address, dhcp_answer, ipv4, router_advertisement
from vmio.host.net.physical import PhysicalPort
from vmio.host.net.port import REASONS
from vmio.host.net.rules import Rule
from vmio.host.net.table import MacTable
from vmio.host.net.vlan import Access, Trunk
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import CheckpointRefused, from_json, plain, to_json
from vmio.machine.net import frames, headers
from vmio.machine.net.cable import Cable
from vmio.machine.probes import watch


def test_unicast_goes_to_its_station_alone_and_broadcast_to_all_others():
    net = Network("a", "b", "c")
    assert net.says("a", "b") == {"b": 1} and net.says("a", BROADCAST) == {"b": 1, "c": 1}
    assert net.switch.ports["a"].sent == [2, 120] and net.switch.ports["b"].got == [2, 120]


def test_a_frame_to_nobody_is_shown_to_no_guest_but_goes_out_by_the_physical_port():
    net = Network("a", "b", uplink={"address": None})
    assert net.says("a", address("nobody")) == {"uplink": 1}
    assert Network("a", "b").says("a", address("nobody")) == {}


def test_what_is_behind_the_physical_port_is_learned_and_forgotten_after_its_age():
    net = Network("a", "b", uplink={"address": None}, roof={"address": None})
    far = address("far")
    assert net.says("a", far) == {"uplink": 1, "roof": 1}
    net.stations["uplink"].send(address("a") + far + b"\x08\x00" + bytes(46))
    assert net.says("a", far) == {"uplink": 1}
    net.env.run(until=300_000_000_001)
    assert net.says("a", far) == {"uplink": 1, "roof": 1} and not net.switch.table.entries


def test_a_source_that_is_not_the_stations_own_goes_no_further_unless_it_may_spoof():
    net = Network("a", "b", c={"spoofing": True})
    assert net.says("a", "b", source=address("c")) == {} and net.switch.ports["a"].dropped == {"spoofed": 1}
    assert net.says("c", "b", source=address("inner")) == {"b": 1}
    assert net.says("b", address("inner")) == {"c": 1}
    assert net.says("c", "b", source=BROADCAST) == {} and net.switch.ports["c"].dropped == {"spoofed": 1}


def test_nobody_teaches_the_switch_another_place_for_an_address_that_a_port_owns():
    net = Network("a", "b", thief={"spoofing": True})
    net.says("thief", BROADCAST, source=address("b"))
    assert net.says("a", "b") == {"b": 1} and not net.switch.table.entries


@pytest.mark.parametrize("vlan, tag, seen", [
    (Access(7), None, {"b": None}), (Access(7), 7, {}), (Access(7), 9, {}), (Access(9), None, {}),
    (Trunk([7, 9]), 7, {"b": None}), (Trunk([9]), 7, {}), (Trunk([7]), None, {}), (Trunk([7], native=7), None, {"b": None}),
    (Trunk([7], native=7), 0, {"b": None})])
def test_vlans(vlan, tag, seen):
    """`b` is in VLAN 7, `trunk` is tagged with it."""
    net = Network(a={"vlan": vlan}, b={"vlan": Access(7)}, trunk={"vlan": Trunk([7])})
    taken = net.says("a", BROADCAST, tag=tag)
    assert {name: headers.untag(net.stations[name].got[-1])[1] for name in taken if name == "b"} == seen
    if seen:
        assert headers.untag(net.stations["trunk"].got[-1])[1] == 7


def test_a_tag_within_a_tag_hops_into_no_vlan():
    net = Network(a={"vlan": Trunk([7], native=1)}, b={"vlan": Trunk([9], native=7)})
    inner = headers.tag(BROADCAST + address("a") + b"\x08\x00" + bytes(46), 9)
    for outer in (7, 1, 0):
        assert not net.stations["a"].send(headers.tag(inner, outer)) and net.stations["b"].got == []
    assert net.switch.ports["a"].dropped == {"VLAN": 3}


@pytest.mark.parametrize("rules, passed", [
    ([], True), ([Rule("deny", "out")], False), ([Rule("deny", "in")], True), ([Rule("deny", "out", "10.0.0.0/8")], False),
    ([Rule("deny", "out", "10.0.0.0/30")], True), ([Rule("allow", "out", "10.0.0.9"), Rule("deny", "out")], True),
    ([Rule("deny", "out", protocol=headers.IS_TCP)], True), ([Rule("deny", "out", protocol=headers.IS_UDP, port=53)], False),
    ([Rule("deny", "out", protocol=headers.IS_UDP, port=54)], True), ([Rule("deny", "out", frames.show_address(address("b")))], False),
    ([Rule("deny", "out", "fe80::/10")], True)])
def test_access_lists_of_who_sends(rules, passed):
    net = Network("b", a={"rules": rules})
    assert net.stations["a"].send(ipv4(address("b"), address("a"), port=53)) is passed
    assert net.switch.ports["a"].dropped["access list"] == (not passed)


def test_access_lists_of_who_is_sent_to_and_a_meter_counts():
    meter = Rule("meter", "in")
    net = Network("a", b={"rules": [meter, Rule("deny", "in", "10.0.0.0/8")]})
    assert not net.stations["a"].send(ipv4(address("b"), address("a"))) and net.says("a", "b") == {"b": 1}
    assert meter.matched == [2, 120] and net.switch.ports["b"].dropped == {"access list": 1}


@pytest.mark.parametrize("wrong, said", [
    (lambda: Rule("drop", "in"), "choose one of allow, deny, meter"), (lambda: Rule("deny", "up"), "choose one of out, in"),
    (lambda: Rule("deny", "in", "10.0.0.300"), "a MAC address, or a network"), (lambda: Access(4095), "vlan 4095: 0"),
    (lambda: Network("a", "a"), "the switch has one"), (lambda: Network(a={"mirror": "both"}), "choose one of source, destination"),
    (lambda: Network(a={"address": BROADCAST}), "a group's"), (lambda: Network("a", b={"address": address("a")}), "two cards have it"),
    (lambda: Network(a={"limit": 0}), "mbit_per_s 0: 1 to"), (lambda: MacTable(size=4, of_port=5), "of_port 5: 1 to 4")])
def test_what_cant_be_is_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_guards_hold_back_who_plays_a_server():
    net = Network("b", a={"dhcp_guard": True, "router_guard": True}, c={})
    for frame in (dhcp_answer(address("a")), router_advertisement(address("a"))):
        assert not net.stations["a"].send(frame)
    assert net.switch.ports["a"].dropped == {"guard": 2}
    assert net.stations["c"].send(dhcp_answer(address("c"))) and net.stations["c"].send(router_advertisement(address("c")))


def test_a_mirror_shows_what_its_sources_send_and_get_to_its_destination_alone():
    net = Network("c", a={"mirror": "source"}, b={}, ids={"mirror": "destination"})
    assert net.says("a", "b") == {"b": 1, "ids": 1} and net.says("b", "a") == {"a": 1, "ids": 1}
    assert net.says("b", "c") == {"c": 1}
    assert net.says("a", BROADCAST) == {"b": 1, "c": 1, "ids": 1}            # once, not twice


def test_a_limit_paces_frames_and_loses_what_finds_no_place_in_its_queue():
    net = Network("b", a={"limit": 100, "queue": 3})
    frame = address("b") + address("a") + b"\x08\x00" + bytes(1000 - 14)
    assert [net.stations["a"].send(frame) for _ in range(5)] == [True] * 4 + [False]
    times = []
    watch(net.switch, "forwarded", lambda *_: times.append(net.env.now))
    net.env.run()
    step = frames.wire_ns(1000, 100)
    assert times == [step, 2 * step, 3 * step] == [81_920, 163_840, 245_760] and net.switch.ports["a"].dropped == {"limit": 1}


def test_a_flood_of_sources_fills_its_own_share_and_others_stay_known():
    net = Network("a", flood={"spoofing": True}, uplink={"address": None})
    net.switch.table = MacTable(size=100, of_port=40)
    far = address("far")
    net.stations["uplink"].send(address("a") + far + b"\x08\x00" + bytes(46))
    for n in range(5000):
        net.says("flood", "a", source=b"\x02" + n.to_bytes(5, "big"))
    assert len(net.switch.table.entries) == 41 and net.switch.table.refused == 5000 - 40
    assert net.says("a", far) == {"uplink": 1}


def test_links_and_stations_that_have_no_place():
    net = Network("a", "b")
    net.stations["b"].places = 0
    assert net.says("a", "b") == {} and net.switch.ports["b"].dropped == {"no place": 1}
    net.switch.ports["b"].link(False)
    net.switch.ports["b"].link(False)
    assert net.stations["b"].links == [False] and not net.switch.ports["b"].up and net.says("a", "b") == {} == net.says("b", "a")
    assert net.switch.ports["b"].dropped == {"no place": 1, "no link": 2}
    with pytest.raises(ValueError, match="only one station"):
        net.switch.ports["a"].connect(net.stations["b"])


def test_stations_that_answer_at_once_do_not_overtake_and_an_endless_talk_ends():
    net = Network("a", "b", "c")
    order = []
    watch(net.switch, "forwarded", lambda name, *_: order.append(name))
    net.stations["b"].answers = lambda frame: [BROADCAST + address("b") + b"\x08\x00" + bytes(46)]
    assert net.says("a", BROADCAST)["c"] == 2 and order == ["a", "b"]
    assert [frame[6:12] for frame in net.stations["c"].got] == [address("a"), address("b")]
    net.stations["c"].answers = lambda frame: [frame[6:12] + address("c") + frame[12:]] * 2 if len(order) < 60 else []
    net.stations["b"].answers = lambda frame: [frame[6:12] + address("b") + frame[12:]] * 2 if len(order) < 60 else []
    net.says("b", "c")
    assert len(order) >= 60


MACS = [address(name) for name in "abc"] + [address("x"), BROADCAST, bytes(6), b"\x02" + bytes(5)]
SENT = st.tuples(st.sampled_from("abcu"), st.sampled_from(MACS), st.sampled_from(MACS), st.sampled_from([None, 0, 5, 6, 4095]), st.binary(max_size=80))


@settings(deadline=None, max_examples=200)
@given(st.lists(SENT, max_size=30))
def test_whatever_is_sent_each_vlan_stays_for_itself_and_all_is_counted(sent):
    net = Network(a={"vlan": Access(5)}, b={"vlan": Access(6)}, c={"vlan": Trunk([5]), "spoofing": True}, u={"address": None, "vlan": Trunk([5, 6])})
    net.switch.table = MacTable(size=4, of_port=2)
    for name, to, source, tag, rest in sent:
        frame = to + source + b"\x08\x00" + name.encode() + rest
        net.stations[name].send(headers.tag(frame, tag) if tag is not None else frame)
    assert len(net.switch.table.entries) <= 4
    for name, port in net.switch.ports.items():
        refused = sum(port.dropped[reason] for reason in REASONS[1:6])
        assert refused + port.sent[0] == sum(each[0] == name for each in sent)
    marks = {name: {headers.untag(frame)[0][14:15] for frame in station.got} for name, station in net.stations.items()}
    assert not marks["a"] & {b"a", b"b"} and not marks["b"] & {b"a", b"b", b"c"} and not marks["c"] & {b"b", b"c"}


def test_the_physical_port_sends_at_the_wires_speed_and_follows_its_link():
    net, cable = Network("a", "b"), Cable()
    uplink, peer = PhysicalPort(net.env, net.switch, cable.ends[0], mbit_per_s=100, queue=2), Card(cable.ends[1])
    frame = address("far") + address("a") + b"\x08\x00" + bytes(1000 - 14)
    assert [net.stations["a"].send(frame) for _ in range(4)] == [True, True, True, False]
    assert len(peer.got) == 1 and uplink.port.dropped == {"no place": 1}
    net.env.run()
    assert peer.got == [frame] * 3 and net.env.now == 2 * frames.wire_ns(1000, 100)
    assert peer.send(address("b") + address("far") + b"\x08\x00" + bytes(46)) and len(net.stations["b"].got) == 1
    cable.link(False)
    assert not uplink.port.up and not net.stations["a"].send(frame)
    cable.link(True)
    peer.places = 0
    net.stations["a"].send(frame)
    net.env.run()
    assert uplink.port.up and uplink.lost == 1


def test_a_checkpoint_holds_table_counts_and_what_waits_and_goes_on_to_the_same_end():
    def made():
        net = Network("a", b={"limit": 50, "rules": [Rule("meter", "out")]}, c={"spoofing": True})
        cable = Cable()
        return net, PhysicalPort(net.env, net.switch, cable.ends[0], mbit_per_s=10), Card(cable.ends[1])
    net, uplink, peer = made()
    frame = address("far") + address("b") + b"\x08\x00" + bytes(500)
    for _ in range(4):
        net.stations["b"].send(frame)
    net.says("c", "a", source=address("inner"))
    net.env.run(until=100_000)
    saving = Saving(net.env)
    state = from_json(to_json(plain({"switch": net.switch.save(saving), "uplink": uplink.save(saving), "rest": saving.rest()})))
    other, other_uplink, other_peer = made()
    restoring = Restoring(other.env, 100_000)
    other.switch.restore(state["switch"], restoring)
    other_uplink.restore(state["uplink"], restoring)
    restoring.finish()
    before = len(peer.got)
    net.env.run()
    other.env.run()
    assert other_peer.got == peer.got[before:] and len(other_peer.got) == 3 and other.env.now == net.env.now
    assert plain(other.switch.save(Saving(other.env))) == plain(net.switch.save(Saving(net.env)))
    strange, _, _ = made()
    strange.switch.ports["b"].spoofing = True
    with pytest.raises(CheckpointRefused, match="switch port b"):
        strange.switch.restore(state["switch"], Restoring(strange.env, 0))
