"""The network's world measures what it says: honest frames by the switch, forged ones told apart, silence noticed."""

import pytest

from vmio.attacks.net import ADDRESSES, EVERYTHING, Nested, NetWorld, Tenants
from vmio.attacks.net_client import (ACCOMPLICE, ATTACKER, BODY, FORGED, KIND, NEIGHBOUR, NEIGHBOURS_FRAMES, PART, SERVER, WRITE, frame,
                                     parse)
from vmio.attacks.verdict import FAIL, PASS, WEDGED
from vmio.attacks.world import AFTER, ROUNDS
from vmio.machine.memory import PAGE
from vmio.machine.net import headers

READS, WRITES = ROUNDS + AFTER, ROUNDS // 4 + AFTER // 4
PARTS = PAGE // PART


def rest(world, cpu):
    yield from world.begin(cpu)


@pytest.mark.parametrize("kind", [NetWorld, Tenants, Nested])
def test_the_neighbours_work_is_frames_by_the_switch(kind):
    world = kind()
    assert world.attacked_by(rest).verdict == PASS
    neighbour, uplink = world.switch.ports["neighbour"], world.switch.ports["uplink"]
    assert neighbour.sent[0] == uplink.got[0] == READS + PARTS * WRITES
    assert neighbour.got[0] == uplink.sent[0] == PARTS * READS + PARTS * WRITES
    assert not world.port.got[0] and world.switch.table.find(world.vlans[1], SERVER, 0) == "uplink"


def test_a_tenant_hears_nothing_of_another_even_with_all_ears():
    def listen(world, cpu):
        card = yield from world.plug(cpu, EVERYTHING)
        yield from world.rest(cpu, 3_000_000)
        world.heard = card.reap()
    world = Tenants()
    assert world.attacked_by(listen).verdict == PASS and world.heard == []


@pytest.mark.parametrize("to", [SERVER, NEIGHBOUR])
def test_a_forged_frame_is_harm_whoever_gets_it(to):
    def forge(world, cpu):
        yield from world.begin(cpu)
        world.switch.ports["uplink" if to == SERVER else "neighbour"].give(0, 0, frame(to, ATTACKER, FORGED))
    outcome = NetWorld().attacked_by(forge)
    assert outcome.verdict == FAIL and outcome.evidence == "neighbour's frames changed"


def test_a_server_that_is_silent_is_no_progress():
    def cut(world, cpu):
        yield from world.begin(cpu)
        world.switch.ports["uplink"].link(False)
    outcome = NetWorld().attacked_by(cut)
    assert outcome.verdict == WEDGED and "the server gives no answer, 3 times" in outcome.evidence


def test_what_an_accomplice_hears_is_loot():
    def tell(world, cpu):
        card = yield from world.plug(cpu)
        card.send(frame(ACCOMPLICE, ATTACKER, NEIGHBOURS_FRAMES * 4))
        yield from world.rest(cpu)
    world = NetWorld()
    assert world.attacked_by(tell).evidence == "neighbour's frames leaked" and world.loot == frame(ACCOMPLICE, ATTACKER, NEIGHBOURS_FRAMES * 4)


def test_a_flood_takes_its_own_share_of_the_table():
    from vmio.attacks.catalogue import find
    flood, worlds = find("frame-floods-the-table"), []

    def program(world, cpu):
        worlds.append(world)
        yield from flood.program(world, cpu)
    Nested().attacked_by(program)
    table = worlds[0].switch.table
    assert sum(port == "attacker" for port, _ in table.entries.values()) == ADDRESSES[1] and len(table.entries) == ADDRESSES[1] + 1
    assert table.refused > 100


def test_what_a_frame_says():
    said = frame(SERVER, NEIGHBOUR, BODY.pack(what=WRITE, part=2, lba=8) + b"data")
    assert parse(said) == parse(headers.tag(said, 7)) == (NEIGHBOUR, WRITE, 2, 8, b"data")
    assert parse(SERVER + NEIGHBOUR + b"\x08\x00" + bytes(50)) is None and parse(SERVER + NEIGHBOUR + KIND + bytes(7)) is None
