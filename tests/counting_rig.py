"""What happens in a machine, counted at its parts while it runs: for tests that hold a panel's numbers against the run itself.

No count of an experiment's result is used.  Exits are those that a vCPU's table tells of, interrupts calls of the guest's
handlers, requests are read out of the bytes of a ring, doorbells and commands are what a controller gets.
"""

from collections import Counter

from vmio.experiments import disk
from vmio.machine.clock import NEVER
from vmio.machine.probes import watch
from vmio.vmbus.bus.packets import DESCRIPTOR, GPA_DIRECT
from vmio.vmbus.bus.ring import DATA, READ, WRITE

WAY = {"IO_INSTRUCTION": ("IN", "OUT"), "EPT_VIOLATION": ("MOV", "MOV"), "EXTERNAL_INTERRUPT": ("EXTERNAL INTERRUPT",) * 2}
NVME_READ = 0x02


def executed(exit):
    """What the guest executed, as the course calls it."""
    name = WAY.get(exit.reason.value, (exit.reason.value,) * 2)[exit.write]
    return {"OUT": "REP OUTS", "IN": "REP INS"}[name] if exit.count > 1 else name


def shared(spans, others):
    """How many ns of `spans`, which don't meet, lie in any of `others`."""
    total = 0
    for low, high in spans:
        at = low
        for start, end in others:
            at = max(at, start)
            total += max(0, min(end, high) - at)
            at = max(at, min(end, high))
    return total


class Counted:
    """A vCPU from now on: `exits` (each an `Exit`), `interrupts`, and where its time went, in ns."""

    def __init__(self, cpu):
        self.cpu, self.exits, self.interrupts = cpu, [], 0
        self.start = cpu.now, cpu.compute_ns, cpu.idle_ns
        self.slept = []     # (from, until) in ns of each HLT
        watch(cpu.table, "exited", self.exits.append)
        watch(cpu, "slept", self.slept.append)
        for vector, handler in cpu.handlers.items():
            cpu.handlers[vector] = self._counting(handler)

    def _counting(self, handler):
        def counted(cpu):
            self.interrupts += 1
            handler(cpu)
        return counted

    @property
    def ns(self):
        return self.cpu.now - self.start[0]

    @property
    def parts(self):
        return {"guest": self.cpu.compute_ns - self.start[1], "exit": sum(one.cost for one in self.exits),
                "device": self.cpu.idle_ns - self.start[2]}

    def by(self, key):
        return Counter(map(key, self.exits))


class DiskSeen:
    """A run of `disk.machine(params)` to its end; everything counted from the end of each guest's set-up."""

    def __init__(self, params, *more):
        self.params, self.requests, host, self.runs = disk.machine(params, *more)
        self.lanes, self.signals, self.rings, self._watched = [], Counter(), {}, set()
        self.at_disk = {run: [] for run in self.runs}     # {guest: [(from, until) in ns that a request of it was at the disk]}
        self.copied, self.busy_before = [], None
        self.ring_requests = self.doorbells = self.commands = self.sectors = 0
        for run in self.runs:
            for lane in run.lanes:
                lane.start = self._started(lane)
        host.run(*[(lane.cpu, lane.program) for run in self.runs for lane in run.lanes])

    def _started(self, lane):
        before = lane.start

        def start(cpu):
            before(cpu)
            lane.seen = Counted(cpu)
            self.busy_before = lane.host.busy_ns if self.busy_before is None else self.busy_before
            self.lanes.append(lane)
            if lane is lane.first:
                {"emulated": self._emulated, "split": self._split, "passthrough": self._passthrough}[self.params.mode](lane)
        return start

    def _emulated(self, run):
        channel = run.machine.board.ata[0]
        whole = channel.service

        def service(op, sectors, done):
            if op == "read":
                self.commands += 1
                self.sectors += sectors
            whole(op, sectors, done)
        channel.service = service
        watch(run.attachment, "served", self.at_disk[run].append)
        watch(run.attachment, "copied", self.copied.append)

    def _split(self, run):
        vsp = run.attachment.vsp
        watch(run.attachment.backend, "served", self.at_disk[run].append)
        queues = list(zip((run.disk, *run.disk.further), (vsp, *vsp.subchannels)))
        for number, (queue, each) in enumerate(queues):
            host = each.channel.end
            watch(host, "hears", lambda number=number: self.signals.update([number]))
            self._requests(queue.end.outgoing)
            if run is self.runs[0]:
                channel = f"channel {number} " if len(queues) > 1 else ""
                self._used(channel + "to the host", run, queue.end.outgoing, host.incoming, True)
                self._used(channel + "to the guest", run, host.outgoing, queue.end.incoming, False)
        self._controller(run.attachment.backend.disk.controller)

    def _requests(self, ring):
        """Count what the guest puts into a ring: records that name pages, out of the ring's bytes."""
        at = ring.memory.load32(WRITE)

        def moved(_used):
            nonlocal at
            while at != ring.memory.load32(WRITE):
                first = ring.memory.read(DATA + at, min(DESCRIPTOR.size, ring.size - at))
                kind, _, length8, *_ = DESCRIPTOR.parse(first + ring.memory.read(DATA, DESCRIPTOR.size - len(first)))
                self.ring_requests += kind == GPA_DIRECT
                at = (at + 8 * length8 + 8) % ring.size
        watch(ring, "moved", moved)

    def _used(self, name, run, writer, reader, from_guest):
        """Note how full a ring is, and when (in us), whenever one of its two indices has moved: each side by its own clock."""
        memory, log, cpu, began = writer.memory, self.rings.setdefault(name, [(0, 0)]), run.cpu, run.seen.start[0]
        last = [memory.load32(WRITE), memory.load32(READ)]

        def moved(guests):
            now = [memory.load32(WRITE), memory.load32(READ)]
            if now != last:
                last[:] = now
                times = [cpu.now] * guests + [cpu.env.now] * (not guests or len(run.lanes) > 1)
                log.append((max((max(times) - began) / 1000, log[-1][0]), (now[0] - now[1]) % writer.size))
        watch(writer, "moved", lambda _: moved(from_guest))
        watch(reader, "moved", lambda _: moved(not from_guest))

    def _passthrough(self, run):
        self.at_disk[run].append((0, NEVER))      # nobody but the disk lets this guest wait
        controller = run.attachment.function.device
        whole = controller._doorbell

        def doorbell(number, value):
            self.doorbells += 1
            whole(number, value)
        controller._doorbell = doorbell
        self._controller(controller)

    def _controller(self, controller):
        if id(controller) not in self._watched:
            self._watched.add(id(controller))
            watch(controller, "begun", lambda command: self._command() if command[0] == NVME_READ else None)

    def _command(self):
        self.commands += 1

    def by(self, key):
        """All guests' exits by `key(exit)`."""
        return sum((lane.seen.by(key) for lane in self.lanes), Counter())

    @property
    def reasons(self):
        return self.by(lambda one: one.reason.value)

    @property
    def instructions(self):
        return self.by(executed)

    @property
    def devices(self):
        return self.by(lambda one: one.device)

    @property
    def exits(self):
        return sum(len(lane.seen.exits) for lane in self.lanes)

    @property
    def interrupts(self):
        return sum(lane.seen.interrupts for lane in self.lanes)

    @property
    def ns(self):
        """From a guest's first request to its last, of the slowest guest."""
        return max(max(lane.cpu.now for lane in run.lanes) - min(lane.seen.start[0] for lane in run.lanes) for run in self.runs)

    @property
    def all_us(self):
        """What all vCPUs took together, in us."""
        return sum(lane.seen.ns for lane in self.lanes) / 1000

    @property
    def served(self):
        """Requests that are over."""
        return len(self.latencies)

    @property
    def latencies(self):
        """Ns of each request, as the guests' own loops noted them."""
        return [ns for lane in self.lanes for ns in lane.latencies]

    @property
    def five(self):
        """{part: us} with a part of its own for what the host's software copied: in exits of string I/O, and in an emulator's DMA."""
        strings = sum(lane.cpu.costs.copy_ns(one.count * one.size) for lane in self.lanes for one in lane.seen.exits if one.count > 1) / 1000
        asleep = sum(shared(lane.seen.slept, sorted(self.at_disk[lane.first] + self.copied)) for lane in self.lanes) / 1000
        parts = self.parts
        copy = strings + asleep - parts["device"]
        return {"guest": parts["guest"], "exit": parts["exit"] - strings, "copy": copy, "device": parts["device"],
                "waiting": parts["waiting"] - asleep + parts["device"]}

    @property
    def host_cpu_ns(self):
        """Time of the host's cores for its own code: workers, exits, an emulator's copying."""
        return (self.runs[0].host.busy_ns - self.busy_before + sum(one.cost for lane in self.lanes for one in lane.seen.exits)
                + sum(until - began for began, until in self.copied))

    @property
    def halves(self):
        """{part: us}, summed over vCPUs; all sleep is the device's."""
        return {part: sum(lane.seen.parts[part] for lane in self.lanes) / 1000 for part in ("guest", "exit", "device")}

    @property
    def parts(self):
        """{part: us}, summed over vCPUs; asleep, only what the disk had a request of this guest is the device's."""
        device = sum(shared(lane.seen.slept, sorted(self.at_disk[lane.first])) for lane in self.lanes) / 1000
        known = {**self.halves, "device": device}
        return {**known, "waiting": self.all_us - sum(known.values())}
