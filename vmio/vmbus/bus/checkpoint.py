"""A guest's bus as plain data and back: control messages, GPADLs, channels, both rings of each, and its worker.

What lies in the rings is the guest's memory; here are the host's own indices, counters and what its worker has in hand.
"""

from typing import Any

from simpy.events import Initialize

from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.pending import At
from vmio.machine.checkpoint import CheckpointRefused, Form, State, same
from vmio.vmbus.bus.gpadl import Gpadl, Range
from vmio.vmbus.bus.host_channel import HostChannel
from vmio.vmbus.bus.host_channel import State as Condition
from vmio.vmbus.bus.packets import GpaRange, Packet, TransferPages
from vmio.vmbus.bus.ring import RingReader, RingWriter
from vmio.vmbus.bus.server import VmbusServer
from vmio.vmbus.bus.worker import Record, RingWorker, Taken

SERVER = Form("VMBus", 1, "starts", "core", "nap", "kicks", "spoken", "offers_requested", "target_vp", "outgoing", "queue",
              "refused", "handled", "gpadls", "channels", "monitor")
GPADL = Form("GPADL", 1, "handle", "relid", "ranges_declared", "words_declared", "words", "ranges")
CHANNEL = Form("channel", 2, "relid", "instance", "index", "primary", "state", "announced", "user", "target_vp", "signals", "due", "notices", "open")
OPEN = Form("open channel", 1, "gpadl", "downstream_page", "writer", "reader", "interrupts", "events", "worker")
WRITER = Form("ring, producer", 1, "write", "published", "free", "pending", "was_full", "sent", "intr_out_empty",
              "out_full_first", "out_full_total")
READER = Form("ring, consumer", 1, "read", "published", "written", "available", "received", "intr_in_full")
WORKER = Form("ring's worker", 2, "starts", "core", "nap", "packets", "asleep", "posted", "blocked", "taking", "unpublished",
              "backlog", "wakeups", "taken", "completed", "dropped", "in_flight")


def save(server: VmbusServer, saving: Saving) -> State:
    """Return the bus; `CheckpointRefused` while it closes a channel whose requests are under way."""
    name = server.guest.name
    starts = _starts(server, saving)
    if starts is None and server.nap is None and not server.core.busy or server._resetting:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: the bus of guest {name} waits for requests of a channel that closes")
    return SERVER.state(
        starts=starts, core=server.core.save(saving), nap=None if server.nap is None else [saving.at(server.nap)],
        kicks=saving.calls(server.kicked), spoken=server.version, offers_requested=server.offers_requested,
        target_vp=server._target_vp, outgoing=server._outgoing, queue=server._port.queue, refused=dict(server.refused),
        handled=dict(server.handled), gpadls=[_save_gpadl(each) for each in server.gpadls.by_handle.values()],
        channels=[_save_channel(each, name, saving) for each in server.channels.values()], monitor=server.monitor.save(saving))


def restore(server: VmbusServer, state: State, restoring: Restoring) -> None:
    """Take it back on a bus where the same devices were offered, and nothing else has happened."""
    saved = SERVER.take(state)
    server.version, server.offers_requested, server._target_vp = saved["spoken"], saved["offers_requested"], saved["target_vp"]
    server._outgoing.extend(tuple(each) for each in saved["outgoing"])
    server._port.queue.extend(tuple(each) for each in saved["queue"])
    server.refused.update(saved["refused"])
    server.handled.update(saved["handled"])
    for each in saved["gpadls"]:
        gpadl = _restore_gpadl(each)
        server.gpadls.by_handle[gpadl.handle] = gpadl
        server.gpadls.pages += gpadl.cost
    channels = [CHANNEL.take(each) for each in saved["channels"]]
    same("VMBus, what is offered", [[each["relid"], each["instance"]] for each in channels if each["primary"] is None],
         [[each.relid, each.device.instance_id] for each in server.channels.values()])
    for each in channels:
        _restore_channel(_channel(server, each), each, server.gpadls.by_handle, restoring)
    server.monitor.restore(saved["monitor"], server.channels, restoring)
    server.core.restore(saved["core"], restoring)
    if saved["nap"] is not None:
        server.nap = server._idle = restoring.event(saved["nap"][0])
    for at in saved["kicks"]:
        restoring.call(at, server.kicked)
    server.begin = None if saved["starts"] is None else restoring.event(saved["starts"])
    server.process = server.guest.host.process(server.guest, server._serve(again=server.begin is None))


def _channel(server: VmbusServer, saved: State) -> HostChannel:
    """The channel: offered with its device, or a sub-channel that the guest had asked for; those are the last, as they were."""
    if saved["primary"] is None:
        return server.channels[saved["relid"]]
    primary = server.channels[saved["primary"]]
    first: Any = primary.device
    device = first.further()
    device.server, device.channel = server, server.add(saved["relid"], device, saved["index"], primary)
    return device.channel


def _starts(owner: VmbusServer | RingWorker, saving: Saving) -> At | None:
    """When the process of a server or worker begins, or None if it has begun."""
    if owner.begin is not None:
        return saving.at(owner.begin)
    return saving.at(owner.process.target) if isinstance(owner.process.target, Initialize) else None


def _save_gpadl(gpadl: Gpadl) -> State:
    return GPADL.state(handle=gpadl.handle, relid=gpadl.relid, ranges_declared=gpadl.ranges_declared,
                       words_declared=gpadl.words_declared, words=gpadl.words, ranges=gpadl.ranges)


def _restore_gpadl(state: State) -> Gpadl:
    saved = GPADL.take(state)
    gpadl = Gpadl(saved["handle"], saved["relid"], saved["ranges_declared"], saved["words_declared"])
    gpadl.words = list(saved["words"])
    if saved["ranges"] is not None:
        gpadl.ranges = [Range(count, offset, tuple(pages)) for count, offset, pages in saved["ranges"]]
    return gpadl


def _save_channel(channel: HostChannel, name: str, saving: Saving) -> State:
    if channel.state not in (Condition.OFFERED, Condition.OPEN) or channel._draining is not None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a channel of guest {name} is {channel.state.value}; only those "
                                "that are open, or were not opened, can be saved")
    return CHANNEL.state(relid=channel.relid, instance=channel.device.instance_id, index=channel.subchannel,
                         primary=channel.primary and channel.primary.relid, state=channel.state, announced=channel.announced,
                         user=channel.user, target_vp=channel.target_vp, signals=channel.signals, due=channel._due,
                         notices=saving.calls(channel._notice), open=_save_open(channel, saving))


def _save_open(channel: HostChannel, saving: Saving) -> State | None:
    end, ring = channel.end, channel.ring
    if end is None or ring is None:
        return None
    if end.error is not None:
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: a ring of channel {channel.relid} is corrupt")
    device: Any = channel.device
    writer, reader, memory = end.outgoing, end.incoming, end.incoming.memory
    return OPEN.state(
        gpadl=ring.handle, downstream_page=memory.size // 4096, interrupts=end.interrupts, events=end.events,
        writer=WRITER.state(write=writer._write, published=writer._published, free=writer._free, pending=writer._pending,
                            was_full=writer._was_full, sent=writer.sent, intr_out_empty=writer.intr_out_empty,
                            out_full_first=writer.out_full_first, out_full_total=writer.out_full_total),
        reader=READER.state(read=reader._read, published=reader._published, written=reader._written, available=reader._available,
                            received=reader.received, intr_in_full=reader.intr_in_full),
        worker=device.worker and _save_worker(device.worker, [channel.server.guest.name, channel.relid], saving))


def _restore_channel(channel: HostChannel, saved: State, gpadls: dict[int, Gpadl], restoring: Restoring) -> None:
    if saved["open"] is not None:
        kept = OPEN.take(saved["open"])
        channel.open_rings(gpadls[kept["gpadl"]], kept["downstream_page"])
        end: Any = channel.end
        _restore_writer(end.outgoing, kept["writer"])
        _restore_reader(end.incoming, kept["reader"])
        end.interrupts, end.events = kept["interrupts"], kept["events"]
        device: Any = channel.device
        if kept["worker"] is None:
            device.opened(end)          # it waits until its controller is ready
        else:
            device.restored(end, lambda worker: _restore_worker(
                worker, [channel.server.guest.name, channel.relid], kept["worker"], restoring))
    channel.state, channel.announced = Condition(saved["state"]), saved["announced"]
    channel.user, channel.target_vp, channel.signals = saved["user"], saved["target_vp"], saved["signals"]
    channel._due = saved["due"]
    for at in saved["notices"]:
        restoring.call(at, channel._notice)


def _restore_writer(writer: RingWriter, state: State) -> None:
    saved = WRITER.take(state)
    writer._write, writer._published, writer._free = saved["write"], saved["published"], saved["free"]
    writer._pending, writer._was_full, writer.sent = saved["pending"], saved["was_full"], saved["sent"]
    writer.intr_out_empty = saved["intr_out_empty"]
    writer.out_full_first, writer.out_full_total = saved["out_full_first"], saved["out_full_total"]


def _restore_reader(reader: RingReader, state: State) -> None:
    saved = READER.take(state)
    reader._read, reader._published, reader._written = saved["read"], saved["published"], saved["written"]
    reader._available, reader.received, reader.intr_in_full = saved["available"], saved["received"], saved["intr_in_full"]


def _save_worker(worker: RingWorker, channel: list, saving: Saving) -> State:
    for number, request in enumerate(worker.under_way):
        saving.names[id(request)] = [*channel, number]
    return WORKER.state(
        starts=_starts(worker, saving), core=worker.core.save(saving),
        nap=None if worker.nap is None else [saving.at(worker.nap)], packets=worker.packets, asleep=worker._asleep,
        posted=worker._posted, blocked=worker._blocked, taking=worker._taking, unpublished=worker._unpublished,
        backlog=worker._backlog, wakeups=worker.wakeups, taken=worker.taken, completed=worker.completed, dropped=worker.dropped,
        in_flight=len(worker.under_way))


def _restore_worker(worker: RingWorker, channel: list, state: State, restoring: Restoring) -> None:
    """`worker` has not begun; the requests in flight are for their device to go on with."""
    saved = WORKER.take(state)
    worker._asleep, worker._posted, worker._blocked = saved["asleep"], saved["posted"], saved["blocked"]
    worker._taking, worker._unpublished = saved["taking"], saved["unpublished"]
    worker._backlog.extend(_restore_record(each) for each in saved["backlog"])
    worker.wakeups, worker.taken, worker.completed, worker.dropped = (
        saved[name] for name in ("wakeups", "taken", "completed", "dropped"))
    worker.packets = [Packet(kind, flags, number, payload, tuple(GpaRange(count, offset, tuple(pages)) for count, offset, pages in ranges))
                      for kind, flags, number, payload, ranges in saved["packets"]]
    if not 0 <= saved["in_flight"] <= worker.max_in_flight:
        raise CheckpointRefused(f"checkpoint, ring's worker: {saved['in_flight']} requests in flight; 0 to {worker.max_in_flight}")
    for number in range(saved["in_flight"]):
        restoring.named[("request", *channel, number)] = Taken(worker)
    worker.core.restore(saved["core"], restoring)
    if saved["nap"] is not None:
        worker.nap = restoring.event(saved["nap"][0])
        worker._idle = None if worker.nap.triggered else worker.nap
    worker.begin = None if saved["starts"] is None else restoring.event(saved["starts"])
    worker.start(again=worker.begin is None)


def _restore_record(record: list) -> Record:
    """What waits for room in a ring: with ranges, if it says of a buffer that both sides know."""
    kind, payload, number, flags, ranges = record
    return kind, payload, number, flags, TransferPages(ranges[0], tuple(tuple(span) for span in ranges[1])) if ranges else ()
