from vmio.lab import a_whole_number, expect, expect_at_most, seeded

WORDS = b"license", b"the", b"ab", b"x", b"warranty"      # none of them can overlap itself


def check(found):
    random = seeded(22)
    pieces = 0
    for word in WORDS:
        for size in (16, 61, 512):
            text = bytearray(random.choices(b"abcdefghijklmnopqrstuvw \n", k=size * 5 + random.randrange(size)))
            for border in range(size, len(text), size):         # a word at each border, sooner or later across it
                at = max(0, border - random.randrange(len(word) + 1))
                text[at:at + len(word)] = word
            file = bytes(text)
            for start in range(0, len(file), size):
                end, taken = min(start + size, len(file)), []

                def read(at, length):
                    taken.append(length)
                    return file[at:at + length]
                given = f"{word}, bytes {start} to {end - 1} of a file of {len(file)}"
                wanted = sum(file.startswith(word, at) for at in range(start, end))
                expect(a_whole_number(found(word, start, end, read), given), wanted, given=given)
                expect_at_most(sum(taken), end - start + len(word) - 1, "bytes read", given=given)
                pieces += 1
    return f"{pieces} pieces searched, each match counted once."
