from vmio import Image, encrypted
from vmio.lab import attempted, expect, seeded

SECTORS = 1 << 14


def check(tweak):
    random, units = seeded(17), 0
    for unit, by_units in ((512, False), (512, True), (4096, False), (4096, True)):
        for _ in range(8):
            key, plain = random.randbytes(64), random.randbytes(unit)
            sector = random.choice((0, unit // 512, 300 * unit // 512, random.randrange(SECTORS * 512 // unit) * unit // 512))
            image = Image(bytearray(SECTORS * 512))
            encrypted.Encrypted(image, key, unit, by_units).write(sector, plain)
            given = f"sector {sector}, a unit of {unit} bytes, by_units {by_units}"
            got = attempted(tweak(sector, unit, by_units), given, (bytes, bytearray), "bytes")
            expect(len(got), 16, f"the number of your bytes, {given}")
            number = int.from_bytes(got, "little")
            right = encrypted.xts(key).decrypt(number, image.read(sector, unit // 512)) == plain
            expect("the plain text" if right else "noise", "the plain text", f"{given}: decrypted with your {got.hex()}")
            units += 1
    return f"{units} units decrypted, by both ways to count."
