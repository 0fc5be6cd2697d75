"""What each viewer of the host's sees of a letter, for every route and every combination of protections; and who notices changes on the way."""

import itertools
import math
from collections import Counter

import pytest

from vmio.drivers.errors import DriverError
from vmio.experiments import tampering_way, views
from vmio.experiments.secrets import LINE, MARK, letter
from vmio.experiments.views.result import BYTES, DISK, LOG, POOL, POOL_KIB, RAM, RINGS, ROUTES, VIEWERS, WIRE, View, ViewsParams
from vmio.hardware.tdisp.wire import Message
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.crypto.records import OVERHEAD
from vmio.modes import Machine
from vmio.modes.edu_assigned import AssignedEdu, bind
from vmio.vmbus.bus.packets import DESCRIPTOR, PIPE

N = BYTES // LINE
# Lines that each viewer finds: {route: {(isolated, protected): {viewer: lines}}}; None where there is nothing to look at.
FOUND = {
    "disk": {(False, False): {DISK: N, RINGS: 0, POOL: None, LOG: 2 * N, RAM: 2 * N}, (False, True): {DISK: 0, RINGS: 0, POOL: None, LOG: 0, RAM: 2 * N},
             (True, False): {DISK: N, RINGS: 0, POOL: N, LOG: 2 * N, RAM: 0}, (True, True): {DISK: 0, RINGS: 0, POOL: 0, LOG: 0, RAM: 0}},
    "net": {(False, False): {WIRE: N, RINGS: 0, POOL: N, RAM: N}, (False, True): {WIRE: 0, RINGS: 0, POOL: 0, RAM: N},
            (True, False): {WIRE: N, RINGS: 0, POOL: N, RAM: 0}, (True, True): {WIRE: 0, RINGS: 0, POOL: 0, RAM: 0}},
    "socket": {(False, False): {WIRE: N, RINGS: N, RAM: N}, (False, True): {WIRE: 0, RINGS: 0, RAM: N},
               (True, False): {WIRE: N, RINGS: N, RAM: 0}, (True, True): {WIRE: 0, RINGS: 0, RAM: 0}},
    "device": {(False, False): {POOL: None, LOG: N, RAM: 2 * N}, (False, True): {POOL: None, LOG: N, RAM: 2 * N},
               (True, False): {POOL: N, LOG: N, RAM: 0}, (True, True): {POOL: None, LOG: 0, RAM: 0}}}


def seen(route, isolated, protected, **more):
    return views.run(ViewsParams(route, isolated, protected, **more))


@pytest.mark.parametrize("route, isolated, protected", list(itertools.product(ROUTES, (False, True), (False, True))))
def test_what_each_viewer_finds(route, isolated, protected):
    one = seen(route, isolated, protected)
    assert {place: None if view is None else view.hits for place, view in one.views.items()} == FOUND[route][isolated, protected]
    assert tuple(sorted(one.views)) == tuple(sorted(VIEWERS[route])) and one.lines == N and one.intact
    assert (one.crypt_ns > 0) is (protected and route != "device")
    for place, view in one.views.items():
        if view is not None and (place != RINGS or route == "socket") and view.hits == 0:
            assert view.entropy > 7.8 or place == RAM and not isolated     # it is noise, not nothing


@pytest.mark.parametrize("route", ROUTES)
def test_the_host_sees_only_ciphertext_with_both_protections_and_the_letter_without_either(route):
    assert sum(seen(route, True, True).hits.values()) == 0
    for isolated, protected in ((False, False), (False, True), (True, False)):
        assert sum(seen(route, isolated, protected).hits.values()) > 0


def test_in_a_pool_lie_the_bytes_of_the_letter_themselves():
    one = seen("device", True, False)
    assert letter(BYTES) in one.views[POOL].held and one.bounced == 3 * BYTES and len(one.views[POOL].held) == POOL_KIB << 10
    assert seen("device", True, True).bounced == 0


def test_in_a_sockets_ring_lie_records_that_open_and_a_receipt():
    one = seen("socket", True, True)
    held, records = one.views[RINGS].held, one.views[WIRE].held
    assert len(records) == BYTES + 4 * OVERHEAD and all(records[at:at + 5] == b"\x17\x03\x03\x04\x11" for at in range(0, len(records), 1046))
    for at in range(0, len(records), 1046):
        assert DESCRIPTOR.size + PIPE.size <= held.index(records[at:at + 1046]) < len(held) // 2         # the guest's ring
    assert b"all taken" in held


def test_another_seed_is_another_key():
    for route, place in (("disk", DISK), ("net", WIRE), ("socket", RINGS)):
        assert seen(route, False, True, seed=1).views[place].held != seen(route, False, True, seed=2).views[place].held


def test_entropy_and_dump_of_a_view():
    data = bytes(32) + b"Pay Ann \x00\xff" + b"aaaaaa" + bytes(16)
    view, counts = View(data), Counter(data[32:48])
    assert view.entropy == pytest.approx(-sum(n / 16 * math.log2(n / 16) for n in counts.values()))
    assert View(bytes(40) + bytes(range(1, 6)) + bytes(3) + bytes(range(16, 32))).dump(1) == "0030  10 11 12 13 14 15 16 17 ........"
    assert view.dump(2) == "0020  50 61 79 20 41 6e 6e 20 Pay Ann \n0028  00 ff 61 61 61 61 61 61 ..aaaaaa"
    assert View(bytes(64)).entropy == 0 and View(b"").dump(3) == "" and View(MARK * 3).hits == 3
    assert max(map(len, view.dump(2).splitlines())) <= 38


@pytest.mark.parametrize("name, value", (("route", "pigeon"), ("seed", -1), ("costs", "mine")))
def test_parameters_that_cannot_be_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name if name != "costs" else "cost preset"):
        views.run(ViewsParams(**{name: value}))


WAY = {"flip a bit of a letter": ("unnoticed", "noticed"), "send a letter twice": ("unnoticed", "noticed"),
       "let two letters change places": ("unnoticed", "noticed"), "take a letter away": ("unnoticed", "noticed"),
       "take the last letter away": ("unnoticed", "unnoticed"), "let another device answer": ("unnoticed", "noticed")}


@pytest.mark.parametrize("change", tampering_way.TAMPERINGS)
def test_who_notices_what_on_the_way(change):
    assert tuple(tampering_way.run(change, protected) for protected in (False, True)) == WAY[change]


def test_what_is_no_tampering_is_refused():
    with pytest.raises(ValueError, match="^tampering 'ask nicely': choose one of flip a bit of a letter, "):
        tampering_way.run("ask nicely", True)


def test_a_guest_takes_no_device_whose_report_names_another_place_and_none_that_refuses():
    from tests.unit.hardware.test_tdisp import Tee
    from vmio.hardware.tdisp import wire as w
    for change, message in ((lambda answer: answer, "the report has a BAR at page 0xfe000; 0xe0000 was found on the bus"),
                            (lambda answer: w.FAILED.pack(type=Message.ERROR, code=4), "LOCK_INTERFACE is answered with 0x7f")):
        tee = Tee()
        with pytest.raises(DriverError, match=f"^TDISP: {message}$"):
            bind(lambda request, tee=tee, change=change: change(tee.tdi.answer(request)))


@pytest.mark.parametrize("trusted, said", (
    (False, "^checkpoint at 0 ns: guest guest0 has an edu that was passed through by itself, and what that holds can't be saved$"),
    (True, "by itself and is in TDISP's state RUN: that is between the guest and this very device, so the guest stops it before, and binds one where it goes on$")))
def test_a_device_of_a_guests_own_is_not_saved_and_the_refusal_says_why(trusted, said):
    machine = Machine(checkpoints=True)
    guest = machine.guest(None, AssignedEdu(trusted), None, 4)
    machine.power_on()
    run = machine.start((guest, lambda cpu, disk: cpu.hlt(1000)))
    run.step()
    with pytest.raises(CheckpointRefused, match=said):
        machine.save()
