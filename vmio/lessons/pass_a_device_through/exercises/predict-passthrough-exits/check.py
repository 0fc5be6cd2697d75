from vmio import DiskParams, disk
from vmio.lab import expect


def check(exits):
    for reads in (1, 7, 20):
        for interrupts, delivery in ((True, "injected"), (True, "posted"), (False, "injected")):
            answer = exits(reads, interrupts, delivery)
            if answer is None:
                raise NotImplementedError
            one = disk.run(DiskParams(mode="passthrough", bytes=4096 * reads, polled=not interrupts, delivery=delivery))
            expect(answer, one.exits_total, given=f"{reads} reads, {delivery if interrupts else 'polled'}")
    return "Counted on the machine: the same."
