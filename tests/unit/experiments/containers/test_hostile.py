"""A hostile container: what it reaches and which wall stops it, in every case; and the measuring sees a hole where there is one."""

import pytest

from vmio.experiments.containers import hostile
from vmio.experiments.containers.hostile import (
    CASES,
    CHANGED,
    CHECK,
    DISK,
    FILE,
    LEAKED,
    OWN,
    READ_ONLY_ENTRY,
    STOPPED,
    UNMAPPED,
    Attack,
    attack,
    matrix,
)
from vmio.experiments.containers.density import base
from vmio.machine.pagetable import READ, WRITE

WANTED = {
    "one kernel, checks": [(STOPPED, (CHECK,))] * 5,
    "one kernel, taken over": [(LEAKED, ()), (CHANGED, ()), (LEAKED, ()), (CHANGED, ()), (CHANGED, ())],
    "own kernel, SCSI": [(STOPPED, (DISK,))] * 2 + [(STOPPED, (UNMAPPED,))] * 2 + [(OWN, ())],
    "own kernel, VPMem": [(STOPPED, (DISK,))] * 2 + [(STOPPED, (UNMAPPED,))] * 2 + [(STOPPED, (DISK, READ_ONLY_ENTRY))],
    "VPMem writable": [(STOPPED, (DISK,))] * 2 + [(STOPPED, (UNMAPPED,))] * 2 + [(CHANGED, ())],
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_each_attempt(name):
    assert [(one.verdict, one.walls) for one in attack(name)] == WANTED[name]
    assert all(one.tries for one in attack(name))


def test_the_fault_is_counted_once_and_the_frame_is_as_it_was():
    tried = Attack(CASES["own kernel, VPMem"])
    tried.run()
    mine, theirs = (kernel.machine.guest.pmem[0] for kernel in tried.fleet.kernels)
    assert tried.faults == mine.refused == 1 and theirs.refused == 0
    frames = tried.fleet.frames
    assert frames.memory.read(frames.spas[FILE], 4096) == base().read(FILE * 8, 8)


def test_a_hole_in_the_second_level_table_is_seen():
    """A hypervisor that has mapped the neighbour's memory, too."""
    tried = Attack(CASES["own kernel, SCSI"])
    hide = tried._hide

    def hide_and_map(cpu):
        guest, other = (kernel.machine.guest for kernel in tried.fleet.kernels)
        guest.slat.map(7 << 19, other.ram_spa(tried.place), 4096, READ | WRITE)
        yield from hide(cpu)
    tried._hide = hide_and_map
    verdicts = [one.verdict for one in tried.run()]
    assert verdicts[2] == LEAKED and verdicts[:2] == [STOPPED] * 2


def test_a_disk_that_two_share_is_seen():
    """A host that gave both guests one scratch disk."""
    tried = Attack(CASES["own kernel, SCSI"])
    tried.mine.scratch.own = tried.theirs.scratch.own
    assert [one.verdict for one in tried.run()][:3] == [LEAKED, CHANGED, STOPPED]


def test_the_kernels_check_lets_a_container_have_its_own():
    tried = Attack(CASES["one kernel, checks"])
    kernel, mine = tried.kernel, tried.mine
    tried._check_disk(mine.place * base().sectors)
    tried._check_memory(kernel.memory_of(mine), tried.fleet.params.private_kib * 1024)
    for check in (lambda: tried._check_disk(tried.sector), lambda: tried._check_disk((mine.place + 1) * base().sectors - 7),
                  lambda: tried._check_memory(kernel.memory_of(mine) - 1, 2), lambda: tried._check_memory(tried.place, 1)):
        with pytest.raises(hostile._Refused):
            check()


def test_the_matrix_says_what_was_measured():
    lines = matrix().splitlines()
    assert len(lines) == 7 and all(name in lines[0] for name in CASES)
    assert [sum(verdict in line for line in lines) for verdict in (LEAKED, OWN)] == [2, 1]
    with pytest.raises(ValueError, match="^case 'none': choose one of one kernel, checks, one kernel, taken over, own"):
        attack("none")
