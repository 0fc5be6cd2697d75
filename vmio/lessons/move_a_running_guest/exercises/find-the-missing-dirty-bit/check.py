from vmio import Destination, DirtyLog, Link, Migration, moved_guests, rules, watch
from vmio.lab import Wrong, attempted, described, expect, seeded, varied

DISKS = {"emulated, by DMA": ("emulated", {"transfer": "dma"}), "split": ("split", {})}


class Asked(DirtyLog):
    """A dirty log whose pages are the answer's."""

    def __init__(self, guest, without, answer):
        super().__init__(guest, without)
        self.answer, self.writes, self.runs = answer, [], guest.backing.runs()
        self.ends = [watch(guest.memory, "stored", lambda *write: self.writes.append(("processor", *write))),
                     watch(guest.dma, "stored", lambda *write: self.writes.append(("device", *write))), watch(guest.host.memory, "written", self.by_host)]

    def by_host(self, spa, length):
        """The host's own addresses, as the guest's."""
        for gpa, start, size in self.runs:
            low, high = max(spa, start), min(spa + length, start + size)
            if low < high:
                self.writes.append(("host", gpa + low - start, high - low))

    def stop(self):
        super().stop()
        for end in self.ends:
            end()

    def take(self):
        super().take()
        given = list(self.writes)
        self.writes.clear()
        pages = attempted(self.answer(given), f"{len(given)} writes", set, "a set of page numbers")
        return sorted(page for page in pages if isinstance(page, int))


def wrong_pages(answer, disk, after_us):
    """How many pages are wrong at the destination, of a guest that was moved with the answer's log."""
    mode, options = DISKS[disk]

    def make():
        return moved_guests.disk_machine(mode, 64, 100_000, **options)
    machine, pairs = make()
    run = machine.start(*pairs)
    while machine.host.env.now < after_us * 1000 and run.step(after_us * 1000 - machine.host.env.now):
        pass
    other, there = make()
    move = Migration(machine, run, Destination(other, *there), Link(32_000_000), rules.rule("qemu", 1), log=lambda guest, without: Asked(guest, without, answer))
    report = move.go()
    if report.status != "completed":
        raise Wrong(f"a guest with a disk, {disk}", "a guest that is moved", report.reason)
    here, now = (each.guests[0].guest for each in (machine, other))
    return sum(here.memory.read(page * 4096, 4096) != now.memory.read(page * 4096, 4096) for page in range(here.ram // 4096))


def check(dirty_pages):
    random = seeded(15)
    cases = [[("processor", 0, 1)], [("device", 8192, 4096)], [("host", 4096 * 7 + 8, 8)], [("processor", 4095, 2)], [("host", 5000, 20_000)], []]
    cases += [[(random.choice(("processor", "device", "host")), random.randrange(1 << 20), random.randrange(1, 9000)) for _ in range(5)] for _ in range(20)]
    for writes in cases:
        wanted = {page for _, at, length in writes for page in range(at // 4096, (at + length - 1) // 4096 + 1)}
        got = attempted(dirty_pages(list(writes)), f"writes {writes}", set, "a set of page numbers")
        expect(sorted(got, key=lambda page: (str(type(page)), page)), sorted(wanted), given=f"writes {writes}")
    for disk in DISKS:
        for after_us in varied("find-the-missing-dirty-bit", (2000, 4000), range(1500, 5000)):
            wrong = wrong_pages(dirty_pages, disk, after_us)
            if wrong:
                raise Wrong(f"a guest with a disk ({disk}), moved after {after_us:,} us", "memory as it was", f"{described(wrong)} pages that are not")
    return f"{len(cases)} logs, and four guests whose memory is what it was."
