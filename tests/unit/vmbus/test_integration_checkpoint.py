"""Integration services, saved at each step of a guest that answers as hv_utils does, restored, and the run ends as if nobody had been there."""

import pytest

from tests.unit.vmbus.test_integration import HEAD, negotiated
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.modes import Machine, attachment
from vmio.vmbus.integration import wire as w

SECOND = 10**9
VERSIONS = {w.SHUTDOWN: (3, 2), w.HEARTBEAT: (3, 0), w.TIME: (4, 0), w.KVP: (4, 0)}


def program(told, mute=()):
    """A guest that opens all four channels one after the other; it answers but the kinds in `mute`, and closes the second one at its end."""
    def steps(cpu, driver):
        def look(cpu, channel, kind):
            for packet in channel.end.packets():
                header = w.HEADER.parse(packet.payload, HEAD)
                body = packet.payload[w.HEADS:w.HEADS + header.size]
                told.append((header.kind, body, cpu.now))
                if header.kind in mute or header.kind == w.TIME:
                    continue
                if header.kind == w.NEGOTIATE:
                    body = negotiated(body, VERSIONS[kind])
                elif header.kind == w.HEARTBEAT:
                    body = (int.from_bytes(body[:8], "little") + 1).to_bytes(8, "little") + body[8:]
                fields = {**header._asdict(), "size": len(body), "flags": w.TRANSACTION | w.RESPONSE}
                channel.end.send(w.PIPE.pack() + w.HEADER.pack(**fields) + body, 0)
        client = VmBusClient(cpu, GuestPages(0x10_0000, 0x60_0000))
        yield from client.connect()
        channels = yield from client.request_offers()
        for channel, kind in zip(channels, VERSIONS):
            yield from client.open(channel, pages=4, on_signal=lambda cpu, channel=channel, kind=kind: look(cpu, channel, kind))
        deadline = cpu.now + 7 * SECOND
        while cpu.now < deadline:
            yield from cpu.hlt(deadline - cpu.now)
        yield from client.close(channels[1])
        yield from cpu.hlt(3 * SECOND)
    return steps


def started(told, state=None, mute=()):
    """(services, machine, its run): begun, or gone on from a state."""
    machine = Machine(memory_mib=64, checkpoints=True)
    guest = machine.guest("guest", attachment("services", "split"), ram_mib=10)
    machine.power_on()
    run = machine.start((guest, program(told, mute))) if state is None else machine.restore(state, (guest, program(told, mute)))
    return guest.attachments[0], machine, run


def seen(services, machine, told):
    """What can be told about a run when it is over."""
    guest = machine.guests[0].guest
    return told, guest.cpu.now, sorted((str(key), row.count, row.total_ns) for key, row in guest.cpu.table.rows.items()), {
        name: (each.framework, each.version, each.up, each.refused, [getattr(each, count) for count in each.counts])
        for name, each in services.all.items()}


def ask(services):
    """The host asks for something, whose answers nobody waits for; the second request of a service waits for the first."""
    return [services.kvp.set("a", "1"), services.kvp.delete("a"), services.shutdown.off()]


def states():
    """(what an undisturbed run shows, states of another at its steps, the same as JSON)."""
    kept, asked, told = [], False, []
    services, machine, run = started(told)
    while run.step(within_ns=SECOND):
        if services.kvp.up and services.shutdown.up and not asked:
            asked = ask(services) == [True] * 3
        try:
            kept.append(from_json(to_json(machine.save())))
        except CheckpointRefused as refused:         # while a channel closes, as with any device
            assert services.heartbeat.worker is None and told and "that no part can save" in str(refused)
    return seen(services, machine, told), kept, asked


def test_saved_and_restored_at_each_step():
    undisturbed, kept, asked = states()
    told, _, _, found = undisturbed
    assert asked and found["heartbeat"][4][0] == 4 and found["time"][4] == [3] and len(kept) > 100
    assert not found["heartbeat"][2] and found["kvp"][2]
    waited = 0
    for state in kept[::7]:
        services = state["guests"][0]["attachments"][0]["services"]
        if not services["kvp"]["up"]:
            continue                     # the host would ask anew in the other run
        waited += bool(services["kvp"]["waiting"])
        again = []
        parts = started(again, state)
        parts[2].to_the_end()
        assert seen(parts[0], parts[1], again) == undisturbed
    assert waited


def test_an_answer_that_somebody_else_waits_for_is_refused():
    services, machine, run = started([], mute=(w.KVP,))
    while not services.kvp.up:
        run.step(within_ns=SECOND)
    assert services.kvp.enumerate(0, lambda key, value: None)
    with pytest.raises(CheckpointRefused, match=r"^checkpoint at [\d]+ ns: guest guest is asked something, and who waits for the answer"):
        machine.save()


@pytest.mark.parametrize("name, entry, value, why", [
    ("time", "counts", {}, "no entry 'told'"), ("heartbeat", "counts", {"beats": 1, "missed": 0, "sequence": 1, "x": 1}, "unknown entry 'x'"),
    ("kvp", "waiting", [None] * 65, "65 requests wait; at most 64"), ("kvp", "framework", [], "damaged"),
    ("shutdown", "asked", {"version": 1, "kind": 3, "body": b"", "answers": "eval"}, "damaged"), ("time", "due", None, "was not set again")])
def test_what_was_never_saved_is_refused(name, entry, value, why):
    services, machine, run = started([])
    while not all(each.up for each in services.all.values()):
        run.step(within_ns=SECOND)
    state = machine.save()
    state["guests"][0]["attachments"][0]["services"][name][entry] = value
    with pytest.raises(CheckpointRefused, match=why):
        started([], state)
