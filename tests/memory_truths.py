"""What the panel of *Grow and shrink* must show: pages in each guest's table, what it has reported, what its driver has not got, at each second."""

from unittest import mock

from vmio.manage import memory_run
from vmio.manage.memory_run import MemoryParams
from vmio.modes import Machine

from tests.panel_rig import Truth

SECOND, MIB = 10**9, 1 << 20
WORKS = 6, 16


class Seen(Machine):
    """It is looked at late in each second, from outside."""

    def power_on(self):
        super().power_on()
        self.rows, self.free = [], []
        for second in range(24):
            self.host.at(second * SECOND + SECOND * 95 // 100, lambda _: self._look())
        Seen.last = self
        return self

    def _look(self):
        for planned in self.guests:
            guest, memory = planned.guest, planned.attachments[0].memory
            has = sum(length for _, _, length in guest.backing.runs())
            everything = guest.ram if guest.ram == guest.first_ram else guest.first_ram + guest.ram - 256 * MIB
            said = has if memory.report is None else memory.report.committed * 4096 - (everything - has)
            said = min(max(said, 0), 448 * MIB)
            heap = planned.drivers[0].heap
            self.rows.append((has / MIB, round(said / MIB, 1), 100 * said // has, (heap.committed - heap.resident) * 4096 / MIB))
        self.free.append(self.host.memory.free_pages * 4096 / MIB - 4)


def shared(second, **settings):
    with mock.patch.object(memory_run, "Machine", Seen):
        memory_run.run_memory(MemoryParams(**settings))
    seen = Seen.last
    moves = sum(planned.attachments[0].memory.heard[kind] for planned in seen.guests
                for kind in ("BALLOON_RESPONSE", "UNBALLOON_RESPONSE", "HOT_ADD_RESPONSE"))
    columns = [seen.rows[at::3] for at in range(3)]
    words = [second, *WORKS]
    for rows in columns:
        has, needs, _, misses = rows[second]
        words += [has, needs, misses]
    words += [max(seen.free[second], 0), *(sum(row[3] for row in rows) for rows in columns), moves]
    names = "web", "database", "batch"
    over_time = {name: [(at, row[0]) for at, row in enumerate(rows)] for name, rows in zip(names, columns)}
    over_time["free"] = [(at, max(free, 0)) for at, free in enumerate(seen.free)]
    return Truth(words, charts=[over_time, {name: rows[second][2] for name, rows in zip(names, columns)}])
