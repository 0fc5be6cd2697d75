from vmio import AtaDisk, Board, Image, one_guest
from vmio.lab import Wrong, expect_at_most, meter, seeded

CONTENT = seeded(5).randbytes(512 * 4096)


def machine():
    """A guest with a disk that answers at once."""
    guest = one_guest(ram_mib=1).guest
    Board(guest, (AtaDisk(Image.open(CONTENT)),))
    return guest


def check(read):
    worst = 0
    for lba, sectors in ((0, 1), (5, 16), (300, 17), (4095, 1), (1000, 64), (77, 33)):
        guest = machine()
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


def cost(read, sectors=64):
    """{sectors:,} sectors from LBA 1,000 on"""
    guest, lba = machine(), 1000
    counts = meter(guest.cpu)
    read(guest.cpu, lba, sectors, 0x20000)
    counts = counts()
    arrived = sum(guest.cpu.read(0x20000 + 512 * at, 512) == CONTENT[512 * (lba + at):][:512] for at in range(sectors))
    return {**counts, "sectors in memory": arrived}
