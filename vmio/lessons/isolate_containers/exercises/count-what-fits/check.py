from vmio.lab import attempted, expect, seeded
from vmio.lessons.isolate_containers import panel as lesson

WAYS = {"process": ("process", "scsi"), "scsi": ("hyperv", "scsi"), "vpmem": ("hyperv", "vpmem")}
MOST = 4            # containers that are started for it


def check(fits):
    random, asked = seeded(16), 0
    own_kib = random.choice((16, 32, 64, 128))
    for way, (isolation, layer) in WAYS.items():
        runs = [lesson.run(count, isolation, layer, private_kib=own_kib) for count in range(1, MOST + 1)]
        needed = [sum(one.pages.values()) for one in runs]
        pages = runs[0].pages
        kernel, known = pages["drivers"] + pages["tables"], (pages["layer"], pages["containers"])
        for free in (0, pages["layer"] - 1, *(each + more for each in needed[:-1] for more in (-1, 0, 1)), needed[-1] - 1):
            given = f"{free} pages free, {kernel} of a kernel, {known[0]} of the layer, {known[1]} of each container, {way}"
            got = attempted(fits(free, kernel, *known, way), given, int, "a whole number")
            expect(got, sum(each <= free for each in needed), given=given)
            asked += 1
    large = random.randrange(10_000, 1_000_000)
    expect(attempted(fits(155 + 30 * large, 10, 155, 20, "vpmem"), "a large host", int, "a whole number"), large, given=f"{155 + 30 * large} pages, vpmem")
    return f"{asked} hosts filled, as counted on machines with up to {MOST} containers."
