"""The oracle door's protocol: answers, refusals, and the two ways to be reached."""

import socket
import subprocess
import sys
import threading

import pytest

from vmio.oracle.qtest import Door


def test_answers_have_qemus_shape():
    door = Door()
    assert door.answer("inb 0x3fd\n") == ["OK 0x0060"]
    assert door.answer("outb 0x3ff 0x5a") == ["OK"]
    assert door.answer("inb 1023") == ["OK 0x005a"]
    assert door.answer("writel 0x1000 0x11223344") == ["OK"]
    assert door.answer("readq 0x1000") == ["OK 0x0000000011223344"]
    assert door.answer("write 0x2000 4 0x01020304") == ["OK"]
    assert door.answer("read 0x2000 4") == ["OK 0x01020304"]
    assert door.answer("memset 0x2000 2 0xff") == ["OK"]
    assert door.answer("b64read 0x2000 4") == ["OK //8DBA=="]
    assert door.answer("b64write 0x3000 3 AQID") == ["OK"]
    assert door.answer("read 0x3000 3") == ["OK 0x010203"]
    assert door.answer("endianness") == ["OK little"]
    assert door.answer("") == []


def test_time_moves_by_clock_step_only():
    door = Door()
    assert door.answer("clock_step 1000") == ["OK 1000"]
    assert door.answer("clock_set 5000") == ["OK 5000"]
    assert door.answer("clock_step 0") == ["OK 5000"]
    assert int(door.answer("clock_step")[-1][3:]) > 5000
    assert door.answer("clock_set 1")[0].startswith("FAIL clock_set 1: the clock stands at")


def test_a_step_of_years_halts_and_may_be_repeated():
    door = Door()
    door.max_timers = 100
    answer, = door.answer("clock_step 0x7000000000000000")
    assert answer.startswith("FAIL clock: timers rang 100 times") and answer.endswith("step on")
    stands = door.guest.clock.now
    assert 0 < stands < 10**10 and f"stands at {stands}," in answer
    assert door.answer(f"clock_set {10**10}")[0].startswith("FAIL clock")
    assert stands < door.guest.clock.now < 10**10
    assert door.answer("clock_step 1000") == [f"OK {door.guest.clock.now}"]


def test_edges_come_before_the_ok_of_what_caused_them():
    door = Door()
    door.answer("outb 0x3f9 2")
    door.answer("outb 0x3f9 0")
    assert door.answer("irq_intercept_in ioapic") == ["OK"]
    assert door.answer("irq_intercept_in ioapic") == ["OK"]
    assert door.answer("outb 0x3f9 2") == ["IRQ raise 4", "OK"]
    assert door.answer("inb 0x3fa") == ["IRQ lower 4", "OK 0x0002"]


@pytest.mark.parametrize("line,complaint", [
    ("frobnicate 1", "Unknown command 'frobnicate'"), ("inb", "wrong number of arguments"),
    ("inb 1 2 3", "wrong number of arguments"), ("inb x", "port 'x' is not a number"), ("inb 65536", "port 65536"),
    ("outb 0x80 banana", "not a number"), ("read 0 0", "length 0"), ("read 0 99999999999", "length"),
    ("write 0 2 0xzz", "not hexadecimal"), ("b64write 0 3 !!!!", "not base64"), ("b64write 0 9 AQID", "3 bytes"),
    ("clock_step -5", "ns -5"), ("irq_intercept_in nothing", "ioapic"), ("irq_intercept_out x", "i8259"),
    ("readb 99999999999999999999999", "address"), ("writel -1 0", "address"),
])
def test_nonsense_fails_with_a_reason_and_changes_nothing(line, complaint):
    door = Door()
    before = door.answer("read 0 64")
    answer, = door.answer(line)
    assert answer.startswith("FAIL ") and complaint in answer
    assert door.answer("read 0 64") == before


def test_memory_that_is_not_there_reads_ones():
    door = Door(memory_mib=1)
    assert door.answer("readl 0xffffc") == ["OK 0x0000000000000000"]
    assert door.answer("readl 0x100000") == ["OK 0x00000000ffffffff"]
    assert door.answer("write 0xffffe 4 0x01020304") == ["OK"]
    assert door.answer("read 0xffffe 4") == ["OK 0x0102ffff"]
    assert door.answer("readq 0xffffffffffffffff") == ["OK 0xffffffffffffffff"]


def test_a_reset_through_the_keyboard_controller_resets_the_board():
    door = Door()
    door.answer("outb 0x3ff 0x5a")
    door.answer("outb 0x64 0xfe")
    assert door.answer("inb 0x3ff") == ["OK 0x0000"]


def test_on_standard_input(tmp_path):
    serial = tmp_path / "serial.out"
    door = subprocess.run([sys.executable, "-m", "vmio", "qtest", "--serial", str(serial), "--rtc-base",
                           "2001-02-03T04:05:06", "--memory", "2"],
                          input="outb 0x3f8 65\noutb 0x70 9\ninb 0x71\nreadb 0x200000\n", text=True,
                          capture_output=True, timeout=60)
    assert door.stdout == "OK\nOK\nOK 0x0001\nOK 0x00000000000000ff\n"
    assert serial.read_bytes() == b"A"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
@pytest.mark.parametrize("listener", ["door", "client"])
def test_on_a_unix_socket_whoever_listens(tmp_path, listener):
    path = str(tmp_path / "s")
    server = None
    if listener == "client":
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(1)
    door = subprocess.Popen([sys.executable, "-m", "vmio", "qtest", "--unix", path])
    try:
        peer = server.accept()[0] if server else _connect(path)
        with peer, peer.makefile("rw") as lines:
            lines.write("inb 0x3fd\n")
            lines.flush()
            assert lines.readline() == "OK 0x0060\n"
        assert door.wait(timeout=30) == 0
    finally:
        door.kill()
        if server:
            server.close()


def _connect(path):
    client = socket.socket(socket.AF_UNIX)
    patience = threading.Event()
    for _ in range(400):
        try:
            client.connect(path)
            return client
        except OSError:
            patience.wait(0.05)
    raise AssertionError("the door never listened")


def disks(folder, number):
    """Files of 64 sectors, the first of 1s, the second of 2s, ..."""
    paths = []
    for n in range(1, number + 1):
        paths.append(folder / f"{n}.img")
        paths[-1].write_bytes(bytes([n]) * 512 * 64)
    return paths


def first_byte(door, base, device):
    """What the first byte of sector 0 is, by READ SECTORS; None if the device is not there."""
    for line in (f"outb {base + 6:#x} {device:#x}", *(f"outb {base + n:#x} {n == 2:d}" for n in (2, 3, 4, 5)), f"outb {base + 7:#x} 0x20"):
        assert door.answer(line)[-1] == "OK"
    status = 0x80
    while status & 0x80:
        status = int(door.answer(f"inb {base + 7:#x}")[-1][3:], 16)
    words = [int(door.answer(f"inw {base:#x}")[-1][3:], 16) for _ in range(256)] if status & 8 else [None]
    return words[0] and words[0] & 0xFF


@pytest.mark.parametrize("number", range(5))
def test_two_disks_a_channel(tmp_path, number):
    door = Door(disks(tmp_path, number))
    found = [first_byte(door, base, device) for base in (0x1F0, 0x170) for device in (0xE0, 0xF0)]
    assert found == [n if n <= number else None for n in (1, 2, 3, 4)]


def test_each_disk_has_a_serial_number_of_its_own(tmp_path):
    door = Door(disks(tmp_path, 2))
    for device, number in ((0xA0, b"VMIO0001"), (0xB0, b"VMIO0002")):
        door.answer(f"outb 0x1f6 {device:#x}")
        door.answer("outb 0x1f7 0xec")
        door.answer("inb 0x3f6")
        words = [int(door.answer("inw 0x1f0")[-1][3:], 16) for _ in range(256)]
        assert b"".join(word.to_bytes(2, "big") for word in words[10:20]).strip() == number


def test_a_fifth_disk_is_refused(tmp_path):
    with pytest.raises(ValueError, match="drives: 5 given; a PC's two channels hold 4, master and slave each"):
        Door(disks(tmp_path, 5))


@pytest.mark.parametrize("pit, left", [({}, 0x0990), ({"pit": "bcd"}, 0x0990), ({"pit": "binary"}, 0x0FF6)])
def test_the_timer_counts_bcd_as_it_is_told(pit, left):
    """Channel 2, mode 0, BCD, 1000h, and ten of its clocks: 1000 less 10 is 990, 1000h less Ah is FF6h."""
    door = Door(**pit)
    for line in ("outb 0x61 1", "outb 0x43 0xb1", "outb 0x42 0", "outb 0x42 0x10", f"clock_step {10 * 10**9 // 1193182 + 1}",
                 "outb 0x43 0x80"):
        assert door.answer(line)[-1].startswith("OK")
    low, high = (int(door.answer("inb 0x42")[-1][3:], 16) for _ in range(2))
    assert high << 8 | low == left


def test_another_kind_of_timer_is_refused():
    with pytest.raises(ValueError, match="pit 'octal': choose one of bcd, binary"):
        Door(pit="octal")


def test_disks_and_timer_by_the_command_line(tmp_path):
    one, two = disks(tmp_path, 2)
    lines = "outb 0x61 1\noutb 0x43 0xb1\noutb 0x42 0\noutb 0x42 0x10\nclock_step 8382\noutb 0x43 0x80\ninb 0x42\ninb 0x42\noutb 0x1f6 0xb0\noutb 0x1f7 0x90\ninb 0x1f6\n"
    command = [sys.executable, "-m", "vmio", "qtest", "--drive", str(one), "--drive", str(two), "--pit", "binary"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-6:] == ["OK 0x00f6", "OK 0x000f", "OK", "OK", "OK 0x00a0", ""]
    for extra, why in ((["--drive", ""], "the name is empty"), (["--drive", str(one)] * 3, "5 given"), (["--pit", "hex"], "invalid choice")):
        refused = subprocess.run(command + extra, input="", capture_output=True, text=True)
        assert refused.returncode == 2 and why in refused.stderr and "Traceback" not in refused.stderr
