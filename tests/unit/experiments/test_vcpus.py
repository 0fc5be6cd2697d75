"""Disk workloads of several vCPUs: what is counted by vCPU and by channel, and that the data is the same."""

import hashlib

import pytest

from vmio import data
from vmio.experiments import disk
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.ledger import Ledger
from vmio.experiments.trace import Request, load
from vmio.machine.storage import Image

BYTES = 64 * 4096


def run(**options):
    return disk.run(DiskParams(mode="split", bytes=BYTES, block=4096, host_cores=8, **options))


@pytest.mark.parametrize("vcpus", [1, 2, 4, 8, 64])
def test_a_channel_each_costs_no_exit_more(vcpus):
    """Two exits a read asleep, whoever makes it; each channel has its own share of signals and interrupts."""
    result = run(vcpus=vcpus)
    each = 64 // vcpus
    assert result.exits == {"HLT": 64, "VMCALL": 64} and result.interrupts == result.signals == 64
    assert result.signals_by_channel == {f"channel {n}": each for n in range(vcpus)}
    assert result.exits_by_vcpu == {f"vCPU {n}": 2 * each for n in range(vcpus)}
    assert result.interrupts_by_vcpu == {f"vCPU {n}": each for n in range(vcpus)}
    peaks = {name: max(used for _, used in steps) for name, steps in result.rings.items()}
    names = [f"channel {n} " for n in range(vcpus)] if vcpus > 1 else [""]
    assert peaks == {name + ring: most for name in names for ring, most in (("to the host", 112), ("to the guest", 88))}
    assert result.sha256 == run().sha256 and result.bytes_read == BYTES


def test_one_channel_for_four_costs_an_exit_to_wake_each_of_the_others():
    own, one = run(vcpus=4, channels=4), run(vcpus=4, channels=1)
    assert own.sha256 == one.sha256 and one.requests == own.requests == 64
    assert list(one.signals_by_channel) == ["channel 0"]
    assert one.exits["WRMSR"] == 48 + 3              # 16 reads of each of three others, and each says that it is done
    assert one.exits["VMCALL"] < own.exits["VMCALL"] == 64
    assert one.interrupts_by_vcpu["vCPU 1"] == 16 and one.exits_by_vcpu["vCPU 0"] > max(
        one.exits_by_vcpu[f"vCPU {n}"] for n in (1, 2, 3))
    assert max(used for _, used in one.rings["to the host"]) == 4 * 112


def test_vcpus_read_side_by_side():
    assert 3.9 < run().virtual_ns / run(vcpus=4).virtual_ns < 4.0


@pytest.mark.parametrize("options", [{"vcpus": 2}, {"channels": 3}, {"vcpus": 5, "channels": 2}, {"vcpus": 4, "channels": 1, "polled": True},
                                     {"vcpus": 3, "queue_depth": 8, "signals": "each"}, {"vcpus": 4, "queue_depth": 4, "ring_kib": 8}])
def test_a_real_trace_leaves_the_same_disk(options):
    """Reads, writes, flushes and discards: what touches the same sectors keeps its order, whoever begins it."""
    image = Image.open(data.path("licenses-ext4.img.gz"))
    requests = load(data.path("traces/untar.csv"))
    results = [disk.run(DiskParams(mode="split", host_cores=8, **each), requests, image) for each in ({}, options)]
    one, many = ((r.sha256, r.requests, r.bytes, hashlib.sha256(r.images[0].read(0, r.images[0].sectors)).digest()) for r in results)
    assert one == many


def test_two_runs_are_equal_and_guests_add_up():
    one, two = run(vcpus=3, channels=2, guests=2), run(vcpus=3, channels=2, guests=2)
    assert one == two and one.latencies == two.latencies and one.rings == two.rings
    assert sum(one.signals_by_channel.values()) == one.signals and sum(one.exits_by_vcpu.values()) == one.exits_total
    assert set(one.canaries.values()) == {True} and len(one.canaries) == 2


@pytest.mark.parametrize("options, why", [
    ({"channels": 4, "vcpus": 2}, "channels 4: a channel is bound to a vCPU, and the guest has 2"),
    ({"vcpus": 0}, "vcpus 0: 1 to 64"), ({"channels": 65}, "channels 65: 1 to 64"),
    ({"vcpus": 2, "timed": True}, "vcpus 2: not beside timed")])
def test_what_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        DiskParams(mode="split", **options).check()


def test_a_mode_with_one_vcpu_heeds_no_more():
    assert DiskParams(mode="passthrough", vcpus=4, channels=4).check().processors == 1
    assert [DiskParams(mode="split", **each).processors for each in ({}, {"vcpus": 3}, {"channels": 3}, {"vcpus": 3, "channels": 2})] == [1, 3, 3, 3]


def test_a_ledger_keeps_the_order_of_what_touches():
    ledger = Ledger([Request("W", 0, 8), Request("R", 4, 8), Request("R", 100, 1), Request("F", 0, 0)])
    assert ledger.may_start(ledger.requests[0]) and ledger.begin() == 0
    assert not ledger.may_start(ledger.requests[1]) and not ledger.may_start(ledger.requests[3])
    assert ledger.may_start(ledger.requests[2])
    ledger.completed(0)
    assert [ledger.begin(), ledger.begin()] == [1, 2] and ledger.may_start(ledger.requests[3])
    ledger.completed(2, b"second")
    assert ledger.bytes_read == 0                    # the digest is over the bytes in the requests' order
    ledger.completed(1, b"first")
    assert ledger.digest.digest() == hashlib.sha256(b"firstsecond").digest() and ledger.bytes == 17 * 512
