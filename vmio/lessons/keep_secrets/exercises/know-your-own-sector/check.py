from vmio.lab import attempted, counted, expect, seeded


def tricks(random, lba, sector, other, key, Tags):
    """(what the host does, number, sector, tag): all that must be refused."""
    tag, flipped = Tags(key).make(lba, sector), bytearray(sector)
    flipped[random.randrange(512)] ^= 1 << random.randrange(8)
    bent = bytearray(tag)
    bent[random.randrange(32)] ^= 1 << random.randrange(8)
    yield "one bit of the sector is flipped", lba, bytes(flipped), tag
    yield "one bit of the tag is flipped", lba, sector, bytes(bent)
    yield "the sector and its tag lie one sector on", lba + 1, sector, tag
    yield "the sector and its tag lie 65,536 sectors on", lba + 65_536, sector, tag
    yield "the tag is another sector's", lba, sector, Tags(key).make(lba + 1, other)
    yield "the tag is erased", lba, sector, bytes(32)
    yield "the tag ends after 16 bytes", lba, sector, tag[:16]
    yield "there is no tag", lba, sector, b""
    yield "the host made a tag with a key of its own", lba, other, Tags(random.randbytes(32)).make(lba, other)
    shifted = str(lba % 10).encode() + sector[:-1]
    yield "a digit of the number has moved into the sector", lba // 10, shifted, Tags(key).make(lba, sector)


def check(Tags):
    random, refused = seeded(17), 0
    for lba in (0, 1, 4, 15, 255, 256, 123_456, 1 << 40):
        key, sector, other = (random.randbytes(length) for length in (32, 512, 512))
        tag = attempted(Tags(key).make(lba, sector), f"sector {lba}", (bytes, bytearray), "bytes")
        expect(len(tag), 32, f"the number of bytes of a tag, sector {lba}")
        expect(bool(attempted(Tags(key).is_mine(lba, sector, tag), f"sector {lba}", (bool, int), "True or False")), True, f"sector {lba} as it was written")
        for what, number, found, shown in tricks(random, lba, sector, other, key, Tags):
            expect(bool(Tags(key).is_mine(number, found, shown)), False, f"sector {number}: {what}")
            refused += 1
    return f"{counted(refused, 'tricks')} of the host's noticed, and each sector of your own known again."
