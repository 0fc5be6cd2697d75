"""A guest's virtio disk on a whole machine: the host's NVMe disk behind it, every exit counted."""

import hashlib
import json
from itertools import product

import pytest

from vmio import data
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.virtio_disk import VirtioError
from vmio.experiments import disk
from vmio.experiments.disk_params import DiskParams
from vmio.experiments.pattern import pattern
from vmio.hypervisor.exits import ExitReason
from vmio.machine.overlay import Overlay
from vmio.machine.probes import watch
from vmio.modes import attachment, one_guest
from vmio.modes.virtio_slot import WINDOW
from vmio.virtio import pci_wire as p
from vmio.virtio.blk import Blk
from vmio.virtio.blk_wire import CONFIG

BUFFER = 8 << 20
DOORBELL = (ExitReason.EPT_VIOLATION, "virtio doorbell")


def machine(**options):
    """A guest with a virtio disk of 1 MiB over a pattern, whose RAM has room for buffers behind the driver's memory."""
    return one_guest(attachment("disk", "split", dialect="virtio", **options), Overlay(pattern(1)), ram_mib=16)


def run(guest, work):
    """What `work(cpu, disk)`, a generator, returns in the guest."""
    return guest.run(work)


def ask(disk, *requests):
    """Submit, wait, and return {tag: error}."""
    for tag, (op, lba, sectors, gpa) in enumerate(requests):
        disk.submit(op, lba, sectors, gpa, tag)
    disk.flush_ring()
    found = {}
    while len(found) < len(requests):
        yield from disk.wait()
        found.update(disk.reap())
    return found


def kicks(cpu):
    """Exits at doorbells so far."""
    return sum(row.count for row in cpu.exits.rows if (row.reason, row.device) == DOORBELL)


@pytest.mark.parametrize("virtqueue, indirect, event_idx, polled", list(product(("split", "packed"), (True, False), (True, False), (True, False))))
def test_write_flush_read_discard(virtqueue, indirect, event_idx, polled):
    guest = machine(virtqueue=virtqueue, indirect=indirect, event_idx=event_idx, polled=polled)

    def work(cpu, disk):
        cpu.write(BUFFER, b"\xa5" * 8192)
        found = yield from ask(disk, ("write", 40, 16, BUFFER), ("flush", 0, 0, 0))
        assert found == {0: None, 1: None}
        for request in ("read", 39, 18, BUFFER + 0x4000), ("discard", 44, 2, 0):
            assert (yield from ask(disk, request)) == {0: None}
        found = yield from ask(disk, ("read", 43, 4, BUFFER + 0x8000))
        return cpu.read(BUFFER + 0x4000, 18 * 512), cpu.read(BUFFER + 0x8000, 4 * 512), disk.sectors, disk.discards
    read, after, sectors, discards = run(guest, work)
    image = pattern(1)
    assert read == image.read(39, 1) + b"\xa5" * 8192 + image.read(56, 1)
    assert after == b"\xa5" * 512 + bytes(1024) + b"\xa5" * 512 and (sectors, discards) == (2048, True)
    assert guest.attachments[0].device.broken is None


@pytest.mark.parametrize("where", [BUFFER + 4, BUFFER + 2, BUFFER + 511])
@pytest.mark.parametrize("op", ["read", "write"])
def test_buffers_that_begin_anywhere(op, where):
    """What a disk can't reach as it lies goes by pages of the host's own, and arrives all the same."""
    guest = machine()

    def work(cpu, disk):
        cpu.write(where, bytes(range(256)) * 48)
        found = yield from ask(disk, (op, 3, 24, where))
        assert found == {0: None}
        if op == "write":
            found = yield from ask(disk, ("read", 3, 24, BUFFER + 0x10000))
            return cpu.read(BUFFER + 0x10000, 24 * 512)
        return cpu.read(where, 24 * 512)
    expected = bytes(range(256)) * 48 if op == "write" else pattern(1).read(3, 24)
    store = guest.attachments[0].device
    assert run(guest, work) == expected
    bounced = guest.attachments[0].device.store.bounced
    assert bounced == (where % 4 != 0) and store.broken is None


def test_more_requests_than_the_queue_takes_and_longer_ones_than_one_may_be():
    guest = machine(entries=4, indirect=False)

    def work(cpu, disk):
        found = yield from ask(disk, *[("read", 8 * n, 8, BUFFER + 4096 * n) for n in range(40)], ("read", 0, 2048, BUFFER + (1 << 20)))
        assert set(found.values()) == {None}
        return cpu.read(BUFFER, 40 * 4096), cpu.read(BUFFER + (1 << 20), 1 << 20)
    first, whole = run(guest, work)
    assert first == pattern(1).read(0, 320) and whole == pattern(1).read(0, 2048)


def test_errors_reach_who_asked():
    guest = machine()

    def work(cpu, disk):
        found = yield from ask(disk, ("read", 2047, 2, BUFFER), ("read", 0, 1, BUFFER))
        return found
    found = run(guest, work)
    assert isinstance(found[0], VirtioError) and found[0].status == 1 and "request 0: I/O error" in str(found[0]) and found[1] is None


def test_one_at_a_time_a_read_is_one_kick_and_one_interrupt():
    guest = machine()

    def work(cpu, disk):
        before = kicks(cpu), cpu.interrupts, cpu.exits.total
        for n in range(10):
            yield from ask(disk, ("read", 8 * n, 8, BUFFER))
        return kicks(cpu) - before[0], cpu.interrupts - before[1], cpu.exits.total - before[2]
    assert run(guest, work) == (10, 10, 20)           # 10 doorbells, 10 times asleep


def test_setting_a_queue_up_takes_as_many_accesses_as_linux_needs():
    """18: select and read size, select and read enable, select and six halves of addresses, select and size, vector and back,
    select and the doorbell's place, and at last select and enable; then nothing but kicks (vp_modern_find_vqs)."""
    guest = machine()

    def work(cpu, disk):
        return [exit.address - WINDOW - (guest.attachments[0].slot << 16) for exit in cpu.trace
                if exit.reason == ExitReason.EPT_VIOLATION and exit.address < WINDOW + (guest.attachments[0].slot << 16) + p.ISR_AT]
        yield
    guest.cpu.keep_trace()
    seen = run(guest, work)
    offsets = {field.offset: field.name for field in p.COMMON_CONFIG.fields} | {36: "queue_desc", 44: "queue_driver", 52: "queue_device"}
    queue = [offsets[at] for at in seen if offsets[at].startswith("queue_")]
    assert queue == ["queue_select", "queue_size", "queue_select", "queue_enable", "queue_select", "queue_desc", "queue_desc", "queue_driver",
                     "queue_driver", "queue_device", "queue_device", "queue_select", "queue_size", "queue_msix_vector", "queue_msix_vector",
                     "queue_select", "queue_notify_off", "queue_select", "queue_enable"][:len(queue)]
    assert len(queue) == 19


def test_the_configuration_is_read_in_linux_s_order():
    """The same fields in the same order as in the recorded conversation (`data/golden/linux_virtio_mmio.json`)."""
    ops = json.loads(data.path("golden/linux_virtio_mmio.json").read_text())["ops"]
    recorded = [op[1] - 0x100 for op in ops if op[0] == "load" and op[1] >= 0x100]
    guest = machine()

    def work(cpu, disk):
        base = WINDOW + (guest.attachments[0].slot << 16) + p.DEVICE_AT
        return [exit.address - base for exit in cpu.trace if base <= exit.address < base + p.PART]
        yield
    guest.cpu.keep_trace()
    assert run(guest, work) == recorded


@pytest.mark.parametrize("depth", [1, 32])
def test_the_same_bytes_as_by_vmbus(depth):
    by = {dialect: disk.run(DiskParams(mode="split", dialect=dialect, queue_depth=depth)) for dialect in ("vmbus", "virtio")}
    assert by["vmbus"].sha256 == by["virtio"].sha256
    assert by["virtio"].exits == {"EPT_VIOLATION": 256 // depth, "HLT": by["virtio"].exits["HLT"]}
    assert by["virtio"].signals == 256 // depth and by["virtio"].ring_requests == 256
    assert "kicks" in by["virtio"].table() and "virtio, split virtqueue" in by["virtio"].table()


@pytest.mark.parametrize("options, text", [
    ({"dialect": "latin"}, "dialect 'latin': choose one of vmbus, virtio"), ({"dialect": "virtio", "ring_kib": 64}, "--ring-kib 64: not in the dialect virtio"),
    ({"dialect": "virtio", "confidential": True}, "--confidential: not in the dialect virtio; only in vmbus"),
    ({"virtqueue": "packed"}, "--virtqueue packed: not in the dialect vmbus; only in virtio"), ({"event_idx": False}, "--no-event-idx: not in"),
    ({"dialect": "virtio", "entries": 100}, "entries 100: a power of two"), ({"dialect": "virtio", "vcpus": 2}, "--vcpus 2: not in the dialect")])
def test_parameters_of_the_other_dialect_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        disk.run(DiskParams(mode="split", **options))


def test_many_guests_at_once_each_with_its_own():
    result = disk.run(DiskParams(mode="split", dialect="virtio", guests=3, queue_depth=8, virtqueue="packed"))
    alone = disk.run(DiskParams(mode="split", dialect="virtio", queue_depth=8, virtqueue="packed"))
    assert result.requests == 3 * alone.requests and all(result.canaries.values())
    assert {hashlib.sha256(image.read(0, 2048)).hexdigest() for image in result.images} == {
        hashlib.sha256(pattern(1).read(0, 2048)).hexdigest()}


def test_a_device_of_before_version_1_is_left_alone():
    guest = machine()
    guest.attachments[0].device.features &= ~(1 << 32)
    with pytest.raises(DriverError, match="without VERSION_1"):
        run(guest, lambda cpu, disk: iter(()))


def test_a_device_that_never_answers_is_given_up():
    guest = machine()

    def work(cpu, disk):
        guest.attachments[0].workers[0].stop()
        with pytest.raises(DriverTimeout, match="1 requests, no answer"):
            yield from ask(disk, ("read", 0, 1, BUFFER))
        return "given up"
    assert run(guest, work) == "given up"


def test_a_device_that_answers_what_nobody_asked_ends_all_requests():
    guest = machine()

    def work(cpu, disk):
        queue = guest.attachments[0].device.queues[0]
        watch(queue, "taken", lambda chain: setattr(chain, "id", 99))
        with pytest.raises(DriverError, match="chain 99, which it doesn't have"):
            found = yield from ask(disk, ("read", 0, 1, BUFFER))
            raise found[0]
        return "over"
    assert run(guest, work) == "over"


def test_a_host_that_says_no_pieces_or_no_sectors_is_read_as_linux_reads_it(monkeypatch):
    """`seg_max` 0 is one piece, `max_discard_sectors` 0 no limit: a driver that divided by them would stop its guest."""
    config = Blk.config

    def lies(self):
        given = bytearray(config(self))
        for name in ("seg_max", "max_discard_sectors"):
            at, size = CONFIG.at(name)
            given[at:at + size] = bytes(size)
        return bytes(given)
    monkeypatch.setattr(Blk, "config", lies)

    def work(cpu, disk):
        assert disk.max_sectors == 8
        return (yield from ask(disk, ("read", 0, 20, BUFFER), ("discard", 0, 40, 0)))
    assert run(machine(), work) == {0: None, 1: None}
