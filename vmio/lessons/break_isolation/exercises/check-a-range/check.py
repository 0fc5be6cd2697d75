from vmio.lab import attempted, expect, seeded

RAM = 256


def right(count, offset, pages, transfer):
    return (count > 0 and 0 <= offset < 4096 and len(pages) * 4096 >= offset + count
            and all(0 <= page < RAM for page in pages) and transfer <= count)


def check(allowed):
    random = seeded(21)
    cases = [(4096, 0, (5,), 4096), (4096, 1, (5,), 4096), (4096, 1, (5, 6), 4096), (0, 0, (5,), 0), (4096, 4096, (5, 6), 1),
             (8192, 0, (5, RAM), 512), (512, 0, (RAM - 1,), 512), (512, 0, (5,), 513), (0xFFFFFFFF, 0xFFF, (1, 2), 512),
             (512, 0, (), 512), (512, 4095, (1,), 1)]
    for _ in range(300):
        count, offset = random.choice((0, 1, 512, 4095, 4096, 4097, 8192)), random.choice((0, 1, 4095, 4096, 100))
        pages = tuple(random.choice((0, 7, RAM - 1, RAM, 9)) if random.random() < 0.3 else random.randrange(RAM)
                      for _ in range(random.randrange(4)))
        cases.append((count, offset, pages, random.choice((0, 1, count, count + 1))))
    for count, offset, pages, transfer in cases:
        given = f"count {count}, offset {offset}, pages {pages} of {RAM}, transfer {transfer}"
        answer = attempted(allowed(count, offset, pages, RAM, transfer), given, (bool, int), "True or False")
        expect(bool(answer), right(count, offset, pages, transfer), given)
    return f"{len(cases)} ranges judged."
