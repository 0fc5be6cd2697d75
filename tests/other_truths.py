"""What the panels without a disk's drawing must show at a setting: runs of the same parameters, counted once more here."""

from collections import OrderedDict
from random import Random

from vmio.drivers import pic
from vmio.experiments import ringload, serial
from vmio.experiments.instructions import PROGRAMS
from vmio.experiments.iotlb import ACCESSES
from vmio.experiments.ringload import LoadParams
from vmio.experiments.ringsteps import SCRIPTS, play
from vmio.hypervisor.costs import CostModel
from vmio.lessons.boot_a_real_linux.screen import screen
from vmio.lessons.boot_a_real_linux import recorded as recorded_linux
from vmio.machine.probes import watch
from vmio.modes import attachment, one_guest
from vmio.passthrough.iommu.iova import IovaAllocator
from vmio.processors.kvm import recorded, steps
from vmio.vmbus.bus.ring import READ, WRITE

from tests.counting_rig import Counted, executed
from tests.disk_truths import DEVICE, GUEST, HOST, HYPERVISOR, digits, rows, stack
from tests.panel_rig import Truth


class Reached:
    """A device whose registers are counted as they are read and written."""

    def __init__(self, device):
        self.device, self.times = device, 0

    def read(self, offset, size):
        self.times += 1
        return self.device.read(offset, size)

    def write(self, offset, size, value):
        self.times += 1
        self.device.write(offset, size, value)


def trap(instruction, count, costs):
    cpu = one_guest(attachment("serial", "emulated", sink=lambda byte: None), ram_mib=1, costs=costs).cpu
    if instruction == "HLT":
        pic.init(cpu)
    seen, port = Counted(cpu), cpu.guest.io.find(0x3F8)
    reached = port.device = Reached(port.device)
    cpu.table.forget()      # who answers is found out anew
    cpu.guest.host.run((cpu, lambda cpu: PROGRAMS[instruction](cpu, count)))
    exits, handlers, parts = len(seen.exits), seen.by(lambda one: one.handler), seen.parts
    assert not parts["guest"]
    named = seen.by(lambda one: "REP OUTS" if instruction.startswith("REP") else executed(one))
    order = [name for name in ("OUT", "IN") if name in named] + [name for name in named if name not in ("OUT", "IN")]
    each = [number for name in order for number in (named[name], named[name] / count)]
    return Truth([count, exits, seen.ns, seen.ns / count, *(each or [0, 0])],
                 {(GUEST, HYPERVISOR): exits, (HYPERVISOR, HOST): handlers["worker"], (HOST, DEVICE): reached.times},
                 [{name: handlers[name] for name in ("hypervisor", "worker")},
                  stack({part: parts[part] / 1000 for part in ("exit", "device")})], {0: exits, 1: seen.ns / 1000})


def uart(bytes, fifo, how, pace, costs):
    machine = one_guest(attachment("serial", "emulated", pace=pace, fifo=fifo, interrupts=how == "interrupt"), ram_mib=1, costs=costs)
    data, started = serial.text(bytes), []

    def program(cpu, uart):
        started.append(Counted(cpu))
        if how == "polled":
            uart.write(data)
        elif how == "string":
            cpu.write(serial.BUFFER, data)
            uart.write_string(serial.BUFFER, bytes)
        else:
            yield from uart.write_by_interrupt(data)
    machine.run(program)
    seen, ns, parts = started[0], started[0].ns, started[0].parts
    assert not parts["guest"]
    machine.guest.clock.advance_to(machine.cpu.now + 100_000_000)
    sent, exits = len(machine.board.uart.sent), len(seen.exits)
    named = seen.by(lambda one: "REP OUTS" if how == "string" and one.write and one.size == 1 and one.address == 0x3F8 else executed(one))
    shown = {name: named[name] for name in ("OUT", "IN", "REP OUTS", "HLT")}
    return Truth([sent, exits, exits / sent, ns / 1000, seen.interrupts, *rows(named, sent)],
                 {(GUEST, HYPERVISOR): exits, (HYPERVISOR, HOST): seen.by(lambda one: one.handler)["worker"],
                  (HOST, DEVICE): sent, (DEVICE, GUEST): seen.interrupts},
                 [shown, stack({part: parts[part] / 1000 for part in ("exit", "device")})], {0: exits, 1: ns / 1000})


def story(script):
    frames = play(SCRIPTS[script]).frames
    used = [sum(record["length"] for record in frame["records"] if record["published"]) for frame in frames]
    last = frames[-1]
    unsent = len(SCRIPTS[script].sizes) - len({record["transaction_id"] for frame in frames for record in frame["records"]})
    left = [len(last["records"]), *[unsent] * bool(unsent)] if last["records"] or unsent else []
    assert all(frame["used"] == sum_of for frame, sum_of in zip(frames, used))
    return Truth([*digits(SCRIPTS[script].about), len(frames) - 1, sum(frame["signal"] != "" for frame in frames), max(used),
                  last["size"], *left])


def load(**params):
    run = ringload._Load(LoadParams(**params).check())
    env, rings, signals = run.env, {"to the host": [(0, 0)], "to the guest": [(0, 0)]}, {"to the host": [], "to the guest": []}
    guest, host = run.guest_end, run.worker.end
    for name, writer, reader in (("to the host", guest.outgoing, host.incoming), ("to the guest", host.outgoing, guest.incoming)):
        def moved(_used, memory=writer.memory, size=writer.size, log=rings[name]):
            log.append((env.now / 1000, (memory.load32(WRITE) - memory.load32(READ)) % size))
        watch(writer, "moved", moved)
        watch(reader, "moved", moved)
    watch(guest, "signals", lambda: signals["to the host"].append(env.now))
    watch(host, "signals", lambda: signals["to the guest"].append(env.now))
    counted = run.result()
    size, requests, ns = guest.outgoing.size, run.done, env.now
    out, back, room = len(signals["to the host"]), len(signals["to the guest"]), host.incoming.intr_in_full
    assert counted.rings_at == signals
    per = {"guest to host": out, "host to guest": back - room, "room again": room}
    return Truth([requests, size, ns / 1000, ns / 1000 / requests, (out + back) / requests, counted.full, params["pending_records"],
                  *(number for n in per.values() for number in (n, n / requests))],
                 charts=[rings, {name: round(n * 100 / requests) for name, n in per.items()}])


def iotlb(pages, entries):
    random, kept, hits = Random(1), OrderedDict.fromkeys(range(pages)), 0
    for page in range(pages - entries):
        kept.popitem(last=False)        # the first went when the last came
    for _ in range(ACCESSES):
        page = random.randrange(pages)
        hits += page in kept
        kept[page] = None
        kept.move_to_end(page)
        if len(kept) > entries:
            kept.popitem(last=False)
    return hits


def iotlb_panel(pages, entries):
    hits = iotlb(pages, entries)
    curve = [(size, 100 * iotlb(size, entries) / ACCESSES) for size in (8, 16, 32, 64, 128, 256, 512)]
    return Truth([pages, entries, ACCESSES, hits, ACCESSES - hits, 100 * hits / ACCESSES], charts=[{"hits": curve}])


def late(batch, late_by, entries):
    kept, addresses, waiting = OrderedDict(), [], []        # {address: page} that the IOTLB keeps, the least recently used first
    iovas, buffers, overwritten, leaked, refused = IovaAllocator(), 64, set(), 0, 0
    for number in range(buffers + late_by):
        addresses.append(iovas.take(1))
        if len(kept) == entries:
            kept.popitem(last=False)
        kept[addresses[-1]] = number
        waiting.append(addresses[-1])
        if len(waiting) == batch:
            kept.clear()
            for address in waiting:
                iovas.give(address, 1)
            waiting.clear()
        if number >= late_by:
            page = kept.get(addresses[number - late_by])
            if page is None:
                refused += 1
            else:
                kept.move_to_end(addresses[number - late_by])
                leaked += 16 * (page not in overwritten)
                overwritten.add(page)
    costs, times, landed = CostModel.preset("server-2022"), buffers + late_by, len(overwritten)
    other = sum(one != now for one, now in zip(b"someone's secret", b"late from device"))
    ns = {"strict": costs.dma_map_ns + costs.dma_invalidate_ns, "lazy": costs.dma_map_ns + times // batch * costs.dma_invalidate_ns / times}
    return Truth([buffers, late_by, batch, 0, landed, 0, leaked, 0, other * landed, buffers, refused, times, times // batch, *ns.values()],
                 charts=[{("strict", "overwritten"): 0, ("strict", "refused"): buffers, ("lazy", "overwritten"): landed, ("lazy", "refused"): refused},
                         ns])


def kvm(kind, count, costs):
    program = steps.KINDS[kind](count)
    model = steps.on_model(program, costs)
    exits = {"REP INSB": 1, "REP OUTSB": 1, "write to RAM": 0, "write to a mapped BAR": 0, "read of a read-only slot": 0}.get(kind, count)
    seen = steps.on_kvm(program) if recorded.live()[0] else steps.expected(program)
    _, times = recorded.times()
    ns = max(times[kind]["low"] * count, 0)
    word = "live" if recorded.live()[0] else "recorded"
    return Truth([count, exits, len(seen.exits), seen.rings, *digits(steps.WHY.get(kind, "")), *digits(costs), model.ns / 1000, ns / 1000],
                 charts=[{"model": exits, "KVM": len(seen.exits), "rings": seen.rings}, {"model": model.ns / 1000, word: ns / 1000}])


def linux(boot, step):
    plain = recorded_linux.file()["boots"][{"with messages": "console", "quiet": "disks", "PC of 1996": "polls"}[boot]]
    reasons = len(plain["reasons"])
    moments = [(ns / 1e6, sum(counts[:reasons]), dict(zip(plain["devices"], counts[reasons:]))) for ns, _, *counts in plain["frames"]]
    milliseconds, exits, devices = moments[step]
    shown = screen(plain["console"][:plain["frames"][step][1]].replace("\r", ""))
    ordered = sorted((count, device) for device, count in devices.items() if count)[::-1]
    bars = dict(zip((device for _, device in ordered[:7]), (count for count, _ in ordered[:7])))
    bars |= {"others": sum(count for count, _ in ordered[7:])} if ordered[7:] else {}
    counted = [count for count in plain["frames"][step][2:2 + reasons] if count]
    return Truth([*digits("\n".join(shown)), milliseconds, exits, *counted],
                 charts=[{"all": [(x, y) for x, y, _ in moments], "the console's": [(x, by.get("uart", 0)) for x, _, by in moments]},
                         *([bars] if bars else [])], totals={1: exits} if bars else {})
