"""A machine of a mode, a run of it step by step, and all that may be told about it afterwards."""

from collections import deque
from typing import NamedTuple

from vmio.drivers.hvclock import HvTimer
from vmio.experiments.disk import pattern
from vmio.host.policies import make
from vmio.host.scheduler import Share
from vmio.hypervisor.hyperv import tlfs
from vmio.machine.checkpoint import from_json, to_json
from vmio.machine.clock import Clock
from vmio.machine.overlay import Overlay
from vmio.modes import Machine, attachment

PAGE = 4096


SHARES = Share(weight=300, cap=400_000_000), Share(reservation=50_000_000), Share(iops=30_000, burst_ns=20_000)


class Plan(NamedTuple):
    """A machine that can be made again and again: guests of one kind with a disk each."""

    mode: str
    options: dict
    program: object
    guests: int = 1
    cores: int = 2
    checkpoints: bool = True
    limit_ns: int | None = None
    only: slice = slice(None)        # of its states, those that are tried
    within_ns: int | None = None     # an event every so many ns, for a guest that is alone
    policy: str | None = None        # of the disk of split guests, by name; their shares are those below
    device: str = "disk"             # or "nvme", one in a slot of the guest's PC
    vcpus: int = 1                   # of each guest, each with the program, its data 128 KiB after the other's

    def machine(self):
        """(the machine, switched on; its (guest, program) pairs)."""
        machine = Machine(cores=self.cores, checkpoints=self.checkpoints)
        guests = [machine.guest(f"guest{n}", attachment(self.device, self.mode, **self.options), Overlay(pattern(1)), vcpus=self.vcpus)
                  for n in range(self.guests)]
        machine.power_on()
        if self.policy is not None:
            layer = guests[0].backends[0].layer
            layer.set_scheduler(make(self.policy))
            for guest, share in zip(guests, SHARES):
                layer.add(guest.name, share)
        programs = [[self.program(guest.attachments[0].driver_memory + (n << 17)) for n in range(self.vcpus)] for guest in guests]
        return machine, [(guest, each if self.vcpus > 1 else each[0]) for guest, each in zip(guests, programs)]

    def started(self):
        """(machine, its run, which has begun)."""
        machine, pairs = self.machine()
        return machine, machine.start(*pairs, limit_ns=self.limit_ns)

    def restored(self, state):
        """(another machine, its run), which goes on from `state`."""
        machine, pairs = self.machine()
        return machine, machine.restore(state, *pairs, limit_ns=self.limit_ns)


def requests(*wanted, depth=1):
    """A program by where its data may be: (kind, LBA) requests of a page each, `depth` in flight; results, times, bytes."""
    def at(data):
        return lambda cpu, disk: steps(cpu, disk, data)

    def steps(cpu, disk, data):
        told, under_way = [], 0
        for row, (kind, lba) in enumerate(wanted):
            sectors = 0 if kind == "flush" else 8
            if kind == "write":
                cpu.write(data + PAGE * row, bytes([row + 1]) * PAGE)
            disk.submit(kind, lba, sectors, data + PAGE * row, row)
            under_way += 1
            if under_way == depth or row == len(wanted) - 1:
                yield from cpu.pay()
                disk.flush_ring()
                while under_way:
                    yield from disk.wait()
                    done = disk.reap()
                    under_way -= len(done)
                    told.append(([(tag, str(error)) for tag, error in done], cpu.now))
                cpu.compute(1_500)
        return told, [cpu.read(data + PAGE * row, 24).hex() for row in range(len(wanted))]
    return at


class ByMsr:
    """The reference time, at an exit each."""

    def now(self, cpu):
        return cpu.rdmsr(tlfs.TIME_REF_COUNT)


def beside_timers(data):
    """A program that reads with its four timers running: one-shot and periodic, by vector and by messages that wait."""
    def program(cpu, disk):
        clock = ByMsr()
        timer, told = HvTimer(cpu, clock), []
        cpu.on_interrupt(0x40, lambda cpu: (told.append(clock.now(cpu)), cpu.wrmsr(0x80B, 0)))
        for number, (config, count) in enumerate(((0x140B, 700), (0x5000B, 900), (0x1050B, 800)), 1):
            cpu.wrmsr(tlfs.STIMER0_CONFIG + 2 * number, config)
            cpu.wrmsr(tlfs.STIMER0_CONFIG + 2 * number + 1, count)
        for n in range(3):
            timer.start(30_000)
            yield from cpu.pay()
            disk.submit("read", 8 * n, 8, data, n)
            disk.flush_ring()
            yield from disk.wait()
            told.append([disk.reap(), clock.now(cpu), timer.fired])
            yield from timer.sleep(25_000)
            cpu.cli()
            yield from cpu.hlt(150_000)
            cpu.sti()
            slot = (cpu.rdmsr(tlfs.SIMP) & tlfs.PAGE_MASK) + 5 * tlfs.SLOT
            told.append(cpu.read(slot, 40).hex())
            cpu.store(slot, 4, 0)
            cpu.wrmsr(tlfs.EOM, 0)                  # the next comes, and its timer goes on
        return told, [cpu.rdmsr(tlfs.STIMER0_CONFIG + n) for n in range(8)]
    return program


def outcome(machine, results):
    """Everything that a run may be asked afterwards: bytes, counts of exits and interrupts, and times."""
    guests = [([(cpu.now, cpu.idle_ns, cpu.compute_ns, cpu.interrupts, cpu.spurious,
                 sorted((str(key), row.count, row.total_ns, row.moved) for key, row in cpu.table.rows.items()))
                for cpu in guest.guest.vcpus], guest.guest.clock.now,
               [(region.name, region.base, region.reads, region.writes, region.bad) for region in guest.guest.io.regions],
               guest.guest.slat.walks, sorted(guest.media[0].own.items())) for guest in machine.guests]
    return results, guests, machine.host.busy_ns


def large(sectors, number):
    """A program by where its data may be: so many reads of so many sectors in flight at once, and writes of what was read."""
    def at(data):
        def program(cpu, disk):
            told = []
            for kind in ("read", "write"):
                for n in range(number):
                    disk.submit(kind, sectors * n, sectors, data + 512 * sectors * (n % 4), n)
                disk.flush_ring()
                while len(told) < number * (1 + (kind == "write")):
                    yield from disk.wait()
                    told += [(tag, str(error), cpu.now) for tag, error in disk.reap()]
            return told, cpu.read(data, 24).hex()
        return program
    return at


def given_up(data):
    """A program that resets its controller with commands under way, and reads on."""
    def program(cpu, disk):
        for n in range(6):
            disk.submit("read", 200 * n, 200, data + 102_400 * n, n)
        disk.flush_ring()
        cpu.compute(2_000)
        yield from cpu.pay()
        driver = disk.driver
        cpu.store(driver.bar + 0x14, 4, 0)        # CC.EN: all that is under way is void
        yield from cpu.hlt(3_000)
        fresh = type(driver)(cpu, driver.bar, driver.buffer, 1 << 30, driver.pairs[0].entries, vectors=driver.vectors)
        yield from fresh.init()
        disk.driver, disk.in_flight = fresh, 0
        for n in range(3):
            disk.submit("read", 8 * n, 8, data + PAGE * n, n)
            disk.flush_ring()
            yield from disk.wait()
        return disk.reap(), cpu.now, cpu.read(data, 24).hex()
    return program


def over_long_pauses(data):
    """A program that lets the time pass in which a lazy IOMMU forgets what was unmapped."""
    def program(cpu, disk):
        for n in range(4):
            disk.submit("read", 8 * n, 8, data + PAGE * n, n)
            disk.flush_ring()
            yield from disk.wait()
            disk.reap()
            cpu.compute(4_000_000)
            yield from cpu.hlt(3_000_000 * n)
        return disk.dma.counters(), cpu.now
    return program


def states(plan, wanted=range(1 << 30)):
    """([the state before each step and after the last one, None where it isn't wanted], the outcome) of a run."""
    machine, run = plan.started()
    kept = [machine.save() if 0 in wanted else None]
    while run.step(plan.within_ns):
        kept.append(machine.save() if len(kept) in wanted else None)
    return kept, outcome(machine, run.to_the_end())


def saved_and_restored(plan, at_least=30):
    """Assert that a run which is saved at the plan's steps, and goes on from each in a fresh machine, ends as if nothing had been."""
    machine, run = plan._replace(checkpoints=False).started()
    undisturbed = outcome(machine, run.to_the_end())
    kept, stepped = states(plan, range(*plan.only.indices(1 << 30)))
    assert stepped == undisturbed and len(kept) > at_least
    saved = [(step, state) for step, state in enumerate(kept) if state is not None]
    assert saved
    for step, state in saved:
        text = to_json(state)
        machine, run = plan.restored(from_json(text))
        assert machine.save() == state, f"step {step}: saved again at once it is something else"
        assert outcome(machine, run.to_the_end()) == undisturbed, f"step {step}"


def places(state, path=()):
    """Every dict in a state, by its path."""
    if isinstance(state, dict):
        yield path, state
    for key, value in state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ():
        yield from places(value, (*path, key))


def with_a_surprise(state, path):
    """A copy of a state, with one entry more in the dict at `path`."""
    other = at = from_json(to_json(state))
    for key in path:
        at = at[key]
    at["surprise"] = 1
    return other


def held(part, of=("vmio.hardware", "vmio.host", "vmio.machine.clock"), known=None):
    """All that an object holds by attributes, and the objects of these rooms that it has: what a checkpoint must not forget.

    Each object is told once, then by its number; one of another room by its class alone.
    """
    known = {} if known is None else known
    if part is None or isinstance(part, (bool, int, str, bytes, float)):
        return part if type(part).__module__ == "builtins" else part.value      # of an enumeration
    if isinstance(part, bytearray):
        return bytes(part)
    if isinstance(part, Clock):
        return "Clock"                  # of a guest, which is saved with it
    if isinstance(part, dict):
        return sorted((str(held(key, of, known)), str(held(each, of, known))) for key, each in part.items())
    if isinstance(part, (list, tuple, deque, set)):
        return [held(each, of, known) for each in part]
    if not type(part).__module__.startswith(of) or callable(part):
        return type(part).__name__
    if id(part) in known:
        return f"object {known[id(part)]}"
    known[id(part)] = len(known)
    names = vars(part) if hasattr(part, "__dict__") else type(part).__slots__
    return {name: held(getattr(part, name), of, known) for name in names}
