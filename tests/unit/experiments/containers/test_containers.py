"""Containers on one kernel or on many: the same bytes and the stated costs."""

import hashlib
import json

import pytest

from vmio.experiments.containers.kernels import (
    ISOLATION,
    MIB,
    ContainerParams,
    World,
    compare,
    payload,
    run_containers,
    workload,
)
from vmio.experiments.containers.tables import pages_of_table
from vmio.experiments.disk import pattern


def expected(params, number):
    """The digest of what a container must read, by a dictionary instead of a disk."""
    sectors, own, digest = params.block // 512, {}, hashlib.sha256()
    for turn, (op, block) in enumerate(workload(params, number)):
        if op == "W":
            own[block] = payload(number, turn, params.block)
        else:
            digest.update(own.get(block) or pattern(4).read(block * sectors, sectors))
    return digest.hexdigest()


@pytest.mark.parametrize("params", [
    ContainerParams(), ContainerParams(1, 1, 512), ContainerParams(16, 12, 512), ContainerParams(2, 40, 1 << 16, 100),
    ContainerParams(3, 30, 8192, 0, seed=9), ContainerParams(5, 17, host_cores=1)], ids=str)
def test_every_container_reads_its_own_view_both_ways(params):
    both = compare(params)
    want = [expected(params, number) for number in range(params.containers)]
    for result in (both.process, both.hyperv):
        assert [row.sha256 for row in result.containers] == want
        assert all(row.system_calls == params.requests for row in result.containers)
        assert all(row.system_calls == row.ring_requests + row.cache_hits for row in result.containers)
    assert both.same_bytes


def test_the_workload_reads_writes_and_reads_again():
    requests = workload(ContainerParams(requests=8), 0)
    assert "".join(one.op for one in requests) == "RWRRRWRR"
    assert requests[3].block == requests[1].block
    blocks = [{block for _, block in workload(ContainerParams(requests=100), n)} for n in (0, 1)]
    assert blocks[0] & blocks[1] and blocks[0] - blocks[1]
    none = [{block for _, block in workload(ContainerParams(requests=100, overlap=0), n)} for n in (0, 1)]
    assert not none[0] & none[1]


def test_what_it_costs():
    both = compare()
    one, many = both.process, both.hyperv
    assert (one.guests, many.guests) == (1, 4)
    assert one.crossings["system calls, shared kernel"] == many.crossings["system calls, own kernel"] == 4 * 32
    assert one.crossings["system calls, own kernel"] == many.crossings["system calls, shared kernel"] == 0
    assert one.exits == {"HLT": 29, "VMCALL": 29}      # one kernel batches for all
    # The base blocks that a kernel keeps, and its container's buffer, are touched for the first time.
    assert many.exits == {"EPT_VIOLATION": 42 + 4, "HLT": 116, "VMCALL": 116}
    assert many.setup_exits == 4 * (one.setup_exits + 66)      # and 64 pages of rings, and what else its drivers have
    assert one.crossings["hypercalls"] == one.signals
    # Base blocks: read once, or once a kernel.
    assert one.base["disk_reads"] == one.base["blocks"] == 27
    assert many.base["disk_reads"] == many.base["blocks_by_container"] == 42
    # Memory.
    assert many.memory["ring_pages"] == 4 * one.memory["ring_pages"] == 4 * 64
    assert many.memory["page_table_pages"] > one.memory["page_table_pages"] >= 4
    assert many.memory["guest_ram_bytes"] == 28 * MIB and one.memory["guest_ram_bytes"] == 10 * MIB
    assert many.memory["difference_bytes"] == one.memory["difference_bytes"] > 0


def test_table_pages_are_those_the_page_table_has():
    world = World(ContainerParams(), "hyperv")
    world.host.run(*[(kernel.cpu, kernel.program) for kernel in world.kernels])
    for kernel in world.kernels:
        slat = kernel.guest.slat
        assert pages_of_table(world.host.memory, slat.root, slat.levels) == len(slat._tables)


def test_parts_of_containers_add_up():
    for isolation in ISOLATION:
        result = run_containers(ContainerParams(containers=3), isolation)
        for name in ("signals", "interrupts"):
            assert sum(getattr(row, name) for row in result.containers) == pytest.approx(getattr(result, name))
        assert sum(row.exits for row in result.containers) == pytest.approx(result.exits_total)
        assert max(row.virtual_ns for row in result.containers) == result.virtual_ns > 0


def test_the_same_run_gives_the_same_numbers():
    assert compare().to_dict() == compare().to_dict()
    assert compare().to_dict() != compare(ContainerParams(seed=2)).to_dict()


def test_tables_and_plain_data():
    both = compare(ContainerParams(containers=2, requests=8))
    json.dumps(both.to_dict())
    assert "the same bytes read both ways" in both.table()
    assert both.process.table().count("container") == 3


@pytest.mark.parametrize("change, text", [
    ({"containers": 0}, "containers 0: a whole number, 1 to 16"), ({"containers": 17}, "containers 17"),
    ({"requests": 0}, "requests 0: a whole number, 1 to 4,096"), ({"requests": 1.5}, "requests 1.5"),
    ({"block": 256}, "block 256: a whole number, 512 to 65,536"), ({"block": 1536}, "block 1536: a power of two"),
    ({"block": "4096"}, "block '4096'"), ({"overlap": 101}, "overlap 101"), ({"seed": -1}, "seed -1"),
    ({"host_cores": 0}, "host_cores 0"), ({"costs": "none"}, "none")])
def test_parameters_that_cannot_be(change, text):
    with pytest.raises(ValueError, match=text):
        run_containers(ContainerParams(**change), "process")


def test_isolation_that_cannot_be():
    with pytest.raises(ValueError, match="isolation 'none': choose one of process, hyperv"):
        run_containers(ContainerParams(), "none")
