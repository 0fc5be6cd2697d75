"""Honest guests beside one that goes wrong, which must finish as if it were not there."""

import pytest

from vmio.hypervisor.host import Host


class Picky(Exception):
    """An error whose `args` do not make it anew."""

    def __init__(self, what, *, where):
        super().__init__()
        self.what, self.where = what, where

    def __str__(self):
        raise RuntimeError("it can't even say what it is")


class Broken:
    """A device model with a bug."""

    def read(self, offset, size):
        return [][offset]

    def write(self, offset, size, value):
        raise Picky("write", where=offset)


def steps(cpu, done=None):
    for _ in range(100):
        yield from cpu.hlt(10_000)
    if done is not None:
        done.append(cpu.now)
    return "done"


def machine(*names, cores=2):
    host = Host(memory_mib=32, cores=cores)
    return host, *[host.guest(name, 4) for name in names]


def beside_others(bad, kind, name="hostile", prepare=None, **limit):
    """The error that leaves when `bad` runs between two honest guests, which must finish as if alone."""
    alone, only = machine("only")
    expected = []
    alone.run((only.cpu, lambda cpu: steps(cpu, expected)))
    host, first, hostile, last = machine("first", "hostile", "last")
    if prepare is not None:
        prepare(hostile)
    done = []
    with pytest.raises(kind) as caught:
        host.run((first.cpu, lambda cpu: steps(cpu, done)), (hostile.cpu, bad), (last.cpu, lambda cpu: steps(cpu, done)), **limit)
    assert done == expected * 2
    assert type(caught.value) is kind and caught.value.guest == name
    assert caught.value.__notes__ == [f"in guest {name}, which has ended"]
    assert host.run((first.cpu, lambda cpu: cpu.hlt(5))) == [False]        # the host and its books are whole
    assert host.cores._free == 2 and not host.cores._line
    return caught.value


def raises(error):
    def program(cpu):
        yield from cpu.hlt(1000)
        raise error
    return program
