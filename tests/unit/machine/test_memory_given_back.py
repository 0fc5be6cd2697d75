"""A host's memory is given back before many more are made: what holds machines of the past are rings, which only gc finds."""

import gc

import pytest

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.hypervisor.host import Host
from vmio.machine import memory
from vmio.machine.memory import HostMemory, OutOfMemory

MIB = 1 << 20


def hosts():
    """How many hosts there are, without looking for rings."""
    return sum(type(one) is Host for one in gc.get_objects())


@pytest.fixture
def no_luck():
    """Python itself looks for no rings meanwhile: it does so by the number of objects, which says nothing of their size."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("mode", ("emulated", "split", "passthrough"))
def test_hosts_of_past_runs_are_few(no_luck, mode):
    before, held, most = hosts(), memory._HELD.bytes, 0
    for turn in range(40):
        disk.run(DiskParams(mode=mode, queue_depth=1 + turn % 8, bytes=16 * 4096))
        most = max(most, hosts() - before)
        assert memory._HELD.bytes - held <= memory.UNCOLLECTED
    assert 1 <= most <= 8          # 256 MiB of machines of 33 MiB and more
    gc.collect()
    assert hosts() == before       # a result holds no machine


def test_who_keeps_many_machines_does_not_pay_for_them_at_each_new_one(no_luck):
    kept = [HostMemory(32 * MIB) for _ in range(20)]
    looks = []
    gc.callbacks.append(lambda phase, info: looks.append(phase))
    try:
        for _ in range(40):
            one = HostMemory(32 * MIB)
            one.itself = one
    finally:
        gc.callbacks.pop()
    assert len(kept) == 20 and looks.count("start") <= 40 * 32 // 256 + 1


def test_what_is_held_is_counted_and_given_back(no_luck):
    before = memory._HELD.bytes
    one = HostMemory(3 * MIB)
    assert memory._HELD.bytes == before + 3 * MIB
    del one
    assert memory._HELD.bytes == before


def test_the_next_look_comes_no_later_for_what_is_gone(no_luck):
    kept = [HostMemory(64 * MIB) for _ in range(40)]
    kept.clear()
    assert memory._HELD.look_at <= memory._HELD.bytes + memory.UNCOLLECTED


def test_more_than_there_is_room_for_is_said(monkeypatch):
    def small(number, size):
        raise OverflowError("memory mapped size must be positive")
    monkeypatch.setattr(memory.mmap, "mmap", small)
    before = memory._HELD.bytes
    with pytest.raises(OutOfMemory, match="host memory: 5,000 MiB asked in one piece"):
        HostMemory(5000 * MIB)
    assert memory._HELD.bytes == before


@pytest.mark.parametrize("mode", ("emulated", "split"))
def test_256_guests_fit_a_32_bit_address_space(no_luck, mode):
    _, _, host, runs = disk.machine(DiskParams(mode=mode, guests=256, queue_depth=4, bytes=16 * 4096))
    assert len(runs) == 256 and host.memory.size < 1100 * MIB
