from random import Random

from vmio import AtaDisk, Board, Host, Image
from vmio.lab import Wrong, expect_at_most

CONTENT = Random(5).randbytes(512 * 4096)


def check(read):
    worst = 0
    for lba, sectors in ((0, 1), (5, 16), (300, 17), (4095, 1), (1000, 64), (77, 33)):
        guest = Host(memory_mib=8).guest(ram_mib=1)
        Board(guest, (AtaDisk(Image.open(CONTENT)),))
        read(guest.cpu, lba, sectors, 0x20000)
        got, given = guest.cpu.read(0x20000, 512 * sectors), f"LBA {lba}, {sectors} sectors"
        for at in range(sectors):
            want, have = CONTENT[512 * (lba + at):][:512], got[512 * at:][:512]
            if have != want:
                raise Wrong(given, f"sector {lba + at} to begin {want[:8].hex()}", have[:8].hex())
        if guest.cpu.read(0x20000 + 512 * sectors, 512) != bytes(512):
            raise Wrong(given, "nothing written past the last sector", "bytes there")
        expect_at_most(guest.cpu.exits.total, 12 + 2 * -(-sectors // 16), "exits", given=given)
        worst = max(worst, guest.cpu.exits.total)
    return f"64 sectors or fewer in at most {worst} exits."
