"""Whole workloads in passthrough mode: the same bytes as the other two modes on every trace, almost no exits."""

import json

import pytest

from vmio import data
from vmio.__main__ import main
from vmio.experiments import disk, trace
from vmio.experiments.disk import DELIVERY, IOMMU, DiskParams


@pytest.mark.parametrize("options", [
    {"iommu": "off"}, {"iommu": "strict", "queue_depth": 8}, {"iommu": "lazy", "delivery": "posted", "queue_depth": 32},
    {"iommu": "static", "queue_depth": 1024}, {"iommu": "static", "polled": True},
    {"iommu": "strict", "polled": True, "queue_depth": 16, "host_cores": 1}],
    ids=lambda options: "-".join(map(str, options.values())))
def test_every_trace_gives_the_same_bytes_in_all_modes(options, emulated, image):
    requests, other = emulated
    result = disk.run(DiskParams(mode="passthrough", **options), requests, image)
    split = disk.run(DiskParams(mode="split", queue_depth=options.get("queue_depth", 1)), requests, image)
    assert result.sha256 == split.sha256 == other.sha256
    assert (result.requests, result.bytes, result.bytes_read) == (other.requests, other.bytes, other.bytes_read)
    assert result.images[0].read(0, image.sectors) == other.images[0].read(0, image.sectors)
    assert result.exits_total <= 3 * len(requests) + 3 * result.bytes // 0x80000
    assert "EPT_VIOLATION" not in result.exits and "IO_INSTRUCTION" not in result.exits


@pytest.mark.parametrize("iommu", IOMMU)
@pytest.mark.parametrize("delivery", DELIVERY)
def test_exits_of_one_read_at_a_time(iommu, delivery):
    """HLT, however the interrupt comes to a guest that is asleep; and in strict mode the IOTLB's invalidation."""
    result = disk.run(DiskParams(mode="passthrough", bytes=40 * 4096, iommu=iommu, delivery=delivery))
    expected = {"HLT": 40}
    if iommu == "strict":
        expected["VMCALL"] = 40
    assert result.exits == expected and result.interrupts == 40
    assert result.exit_ns + result.guest_ns + result.device_ns == result.virtual_ns


def test_a_polling_guest_has_no_exits_at_all():
    result = disk.run(DiskParams(mode="passthrough", bytes=1 << 20, polled=True))
    assert result.exits == {} and result.interrupts == 0 and result.setup_exits > 20
    assert result.guest_ns == result.virtual_ns     # it is never idle: that is the price


def test_a_guest_that_runs_is_stopped_for_injected_interrupts_only():
    injected, posted = (disk.run(DiskParams(mode="passthrough", bytes=1 << 20, queue_depth=32, delivery=how))
                        for how in DELIVERY)
    assert injected.exits["EXTERNAL_INTERRUPT"] > 50 and "EXTERNAL_INTERRUPT" not in posted.exits
    assert set(posted.exits) == {"HLT"} and posted.exits_total < 64
    assert set(injected.exits) == {"HLT", "EXTERNAL_INTERRUPT"}


def test_a_host_that_emulates_the_apic():
    """The assist page spares the end of an interrupt if no other waits: asleep for each read it costs nothing."""
    slow, virtual, fast = (disk.run(DiskParams(mode="passthrough", bytes=1 << 18, queue_depth=depth, apic=apic))
                           for depth, apic in ((1, "emulated"), (32, "virtualized"), (32, "emulated")))
    assert slow.exits == {"HLT": 64} and slow.setup_exits == 1 + disk.run(DiskParams(mode="passthrough", bytes=4096)).setup_exits
    assert set(fast.exits) >= {"HLT", "EXTERNAL_INTERRUPT"} and set(virtual.exits) == {"HLT", "EXTERNAL_INTERRUPT"}
    assert fast.sha256 == virtual.sha256
    with pytest.raises(ValueError, match="delivery posted: the host's APIC is emulated"):
        disk.run(DiskParams(mode="passthrough", delivery="posted", apic="emulated"))


def test_fewer_exits_than_the_other_modes():
    passthrough, split, emulated = (disk.run(DiskParams(mode=mode, bytes=1 << 20, transfer="dma"))
                                    for mode in ("passthrough", "split", "emulated"))
    assert (passthrough.exits_total, split.exits_total) == (256, 2 * 256) and emulated.exits_total == 20 * 256
    assert passthrough.sha256 == split.sha256 == emulated.sha256


def test_several_guests_get_a_virtual_function_each():
    requests = [trace.Request("W", 8, 8), trace.Request("F", 0, 0), trace.Request("R", 0, 16)] * 3
    passthrough, emulated = (disk.run(DiskParams(mode=mode, guests=5, queue_depth=4), requests)
                             for mode in ("passthrough", "emulated"))
    assert passthrough.sha256 == emulated.sha256 and passthrough.requests == 45
    assert all(one.read(0, 16) == two.read(0, 16) for one, two in zip(passthrough.images, emulated.images))


def test_two_runs_are_the_same_run(image):
    requests = trace.load(data.path("traces/untar.csv"))
    params = DiskParams(mode="passthrough", guests=2, queue_depth=8, iommu="lazy")
    assert disk.run(params, requests, image) == disk.run(params, requests, image)


@pytest.mark.parametrize("requests", [[], [trace.Request("F", 0, 0)]])
def test_little_to_do(requests):
    result = disk.run(DiskParams(mode="passthrough", queue_depth=8), requests)
    assert result.bytes == 0 and result.requests == len(requests)


@pytest.mark.parametrize("bad", [dict(iommu="maybe"), dict(delivery="pigeon"), dict(guests=65)])
def test_parameters_are_checked_at_the_door(bad):
    (name, value), = bad.items()
    with pytest.raises(ValueError, match=f"{name} .*{value}"):
        disk.run(DiskParams(mode="passthrough", **bad))


def test_the_command(capsys):
    for iommu in IOMMU:
        for delivery in DELIVERY:
            assert main(["run", "--mode", "passthrough", "--bytes", "65536", "--iommu", iommu,
                         "--interrupts", delivery, "--json"]) == 0
            result = json.loads(capsys.readouterr().out)
            assert set(result) >= {"exits", "exits_total", "requests", "bytes", "sha256", "virtual_ns", "signals",
                                   "interrupts"}
            assert result["requests"] == 16 and result["interrupts"] == 16 and result["signals"] == 0


@pytest.mark.parametrize("depth, doorbells", [(1, 32), (16, 9)])
def test_the_guests_stores_to_doorbells_are_counted_and_are_no_exits(depth, doorbells):
    result = disk.run(DiskParams(mode="passthrough", bytes=65_536, queue_depth=depth))
    assert (result.doorbells, result.interrupts) == (doorbells, 16 if depth == 1 else doorbells - 1)
    assert "MMIO" not in " ".join(result.exits) and result.to_dict()["doorbells"] == doorbells
    assert [disk.run(DiskParams(mode=mode, bytes=65_536)).doorbells for mode in ("emulated", "split")] == [0, 0]
