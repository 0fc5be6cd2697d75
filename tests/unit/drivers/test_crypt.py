"""A guest that encrypts its own disk: what goes to the disk, where, and what the guest gets."""

import pytest

from vmio.drivers.crypt import CryptDisk
from vmio.machine.media.encrypted import xts
from vmio.machine.storage import Image

KEY = bytes(range(64))
LETTER = bytes(range(256)) * 8


class Cpu:
    """RAM, and a count of the time that was spent."""

    def __init__(self):
        self.ram, self.ns = bytearray(1 << 16), 0

    def read(self, gpa, length):
        return bytes(self.ram[gpa:gpa + length])

    def write(self, gpa, data):
        self.ram[gpa:gpa + len(data)] = data

    def compute(self, ns):
        self.ns += ns


class Slow:
    """A disk that carries out what it was asked when it is asked for what is over."""

    polled, discards = False, True

    def __init__(self, cpu):
        self.cpu, self.image, self.asked, self.error, self.flushed = cpu, Image(bytearray(1 << 16)), [], None, 0

    def submit(self, op, lba, sectors, gpa, tag):
        self.asked.append((op, lba, sectors, gpa, tag))

    def flush_ring(self):
        self.flushed += 1

    def wait(self, until=None):
        yield until

    def reap(self):
        over, self.asked = self.asked, []
        for op, lba, sectors, gpa, _ in over if self.error is None else ():
            if op == "write":
                self.image.write(lba, self.cpu.read(gpa, sectors * 512))
            elif op == "read":
                self.cpu.write(gpa, self.image.read(lba, sectors))
        return [(tag, self.error) for *_, tag in over]


@pytest.fixture
def rig():
    cpu = Cpu()
    slow = Slow(cpu)
    return cpu, slow, CryptDisk(cpu, slow, xts(KEY), [0x8000, 0x9000], 4096, 1_000_000_000)


def test_ciphertext_leaves_and_the_plain_text_stays(rig):
    cpu, slow, disk = rig
    cpu.write(0x1000, LETTER)
    disk.submit("write", 8, 4, 0x1000, "first")
    assert cpu.read(0x1000, 2048) == LETTER and disk.reap() == [("first", None)]
    assert slow.image.read(8, 4) == b"".join(xts(KEY).encrypt(8 + n, LETTER[n * 512:(n + 1) * 512]) for n in range(4))
    disk.submit("read", 9, 2, 0x3000, "back")
    assert disk.reap() == [("back", None)] and cpu.read(0x3000, 1024) == LETTER[512:1536]
    assert cpu.ns == disk.crypt_ns == 2048 + 1024


def test_a_request_waits_for_a_buffer_and_so_do_those_behind_it(rig):
    cpu, slow, disk = rig
    for n in range(4):
        cpu.write(0x1000 + n * 512, bytes([n]) * 512)
        disk.submit("write", n, 1, 0x1000 + n * 512, n)
    disk.submit("flush", 0, 0, 0, "flush")
    disk.submit("read", 3, 1, 0x4000, "read")
    assert [op for op, *_ in slow.asked] == ["write", "write"]
    assert [disk.reap() for _ in range(3)] == [[(0, None), (1, None)], [(2, None), (3, None), ("flush", None), ("read", None)], []]
    assert cpu.read(0x4000, 512) == bytes([3]) * 512


def test_what_was_not_read_is_not_decrypted_and_its_buffer_comes_back(rig):
    cpu, slow, disk = rig
    slow.error = OSError("away")
    for n in range(6):
        disk.submit("write", n, 1, 0x1000, n)
        assert disk.reap() == [(n, slow.error)]
    before = disk.crypt_ns
    disk.submit("read", 0, 1, 0x1000, "read")
    assert disk.reap() == [("read", slow.error)] and disk.crypt_ns == before and cpu.read(0x1000, 512) == bytes(512)


def test_what_it_passes_on_and_what_it_refuses(rig):
    _, slow, disk = rig
    disk.flush_ring()
    assert (slow.flushed, disk.polled, disk.discards, list(disk.wait(7))) == (1, False, False, [7])
    with pytest.raises(ValueError, match="^discard: an encrypted disk takes read, write and flush$"):
        disk.submit("discard", 0, 8, 0, 1)
    with pytest.raises(ValueError, match="^write of 9 sectors: the buffers of the encryption hold 8$"):
        disk.submit("write", 0, 9, 0, 1)
    disk.submit("read", 0, 9, 0x1000, 1)        # decrypted in place: no buffer is needed
    assert disk.reap() == [(1, None)]
