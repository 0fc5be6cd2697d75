"""A guest's virtio console on a whole machine: every byte both ways, a window's size, a last word before the driver is up, hostile buffers."""

import pytest

from vmio.machine.memory import PAGE
from vmio.modes import Machine, attachment
from vmio.virtio import console_wire as w
from vmio.virtio.console import MOST

MS = 1_000_000
DATA = 24 << 20


def played(steps, **options):
    """(device, what the guest has said) of a run of `steps(device, cpu, console)`."""
    machine, said = Machine(), bytearray()
    part = attachment("console", "split", dialect="virtio", sink=said.extend, **options)
    guest = machine.guest("g", part)
    machine.power_on()
    guest.run(lambda cpu, console: steps(part.device, cpu, console))
    return part.device, bytes(said)


def test_every_byte_is_heard_in_order():
    text = bytes(range(256)) * 200 + b"end"

    def steps(device, cpu, console):
        yield from console.write(b"hello\n")
        yield from console.write(text)
    device, said = played(steps)
    assert said == b"hello\n" + text and device.said == len(said) and device.broken is None


def test_every_byte_that_was_typed_comes_and_what_nobody_reads_is_not_taken():
    text, got = bytes(range(256)) * 150, bytearray()

    def steps(device, cpu, console):
        yield from cpu.pay()
        assert device.type_text(text) == len(text)
        while len(got) < len(text):
            yield from console.wait()
            got.extend(console.reap())
        before = device.typed
        waiting = device.type_text(bytes(MOST)) + device.type_text(bytes(MOST))
        assert MOST <= waiting <= MOST + 8 * PAGE < 2 * MOST and device.type_text(b"x") == 0
        while device.typed - before < waiting:
            yield from console.wait()
            assert console.reap().strip(b"\0") == b""
    device, _ = played(steps)
    assert bytes(got) == text and device.broken is None


def test_the_window_is_made_larger_while_the_guest_runs():
    def steps(device, cpu, console):
        assert console.size == (132, 43)
        device.resize(200, 60)
        yield from cpu.hlt(MS)
        assert console.size == (200, 60)
        for columns, rows in ((0, 25), (80, 1 << 16)):
            with pytest.raises(ValueError, match=f"console of {columns} columns and {rows} rows: 1 to 65,535 each"):
                device.resize(columns, rows)
    played(steps, size=(132, 43))


def test_a_last_word_needs_no_queue_and_no_status():
    def steps(device, cpu, console):
        console.transport.put("device_status", 0)
        for character in b"bye":
            console.emergency(character)
        yield from cpu.pay()
    device, said = played(steps)
    assert said == b"bye" and device.emergencies == 3 and device.status == 0


@pytest.mark.parametrize("number, readable, writable, why", [
    (w.RECEIVE, [(DATA, 4)], [], "a buffer of 4 readable bytes, for what the device writes"),
    (w.TRANSMIT, [(DATA, MOST + 1)], [], "a buffer of 65,537 bytes; 65,536 at most"),
    (w.TRANSMIT, [(1 << 40, 4)], [], "a buffer that the device reads"),
    (w.RECEIVE, [], [(1 << 40, 4)], "a buffer that the device writes")])
def test_what_no_honest_driver_sends(number, readable, writable, why):
    """The device needs a reset, and nothing was said or lost."""
    def steps(device, cpu, console):
        queue = console._queues[number]
        queue.add(readable, writable, "bad")
        console._push(number)
        yield from cpu.hlt(MS)
        device.type_text(bytes(9 * PAGE))           # as many buffers were lent before, and the bad one
        assert device.status & 0x40 and device.broken.startswith(f"queue {number}: ") and why in device.broken
    assert played(steps)[1] == b""


def test_what_nobody_has_read_is_lost_with_its_reader():
    def steps(device, cpu, console):
        device.type_text(bytes(9 * PAGE))
        assert device.typed == 8 * PAGE
        console.transport.put("device_status", 0)
        assert device.read_status() == 0 and device.type_text(b"x") == 0
        yield from console.init()
        assert device.type_text(b"x") == 1
        got = b""
        while not got.endswith(b"x"):
            yield from console.wait()
            got += console.reap()
        assert got == bytes(8 * PAGE) + b"x"            # the pages that had come, and nothing of the ninth
    played(steps)
