from vmio import Iommu, TranslationFault, one_guest
from vmio.lab import Wrong, seeded

REQUESTER = 0x18


def reach(dma, page):
    """What the device can do with a page: "", "read" or "write"."""
    got = ""
    try:
        dma.read(page * 4096, 1)
        got = "read"
        dma.write(page * 4096, b"x")
        got = "write"
    except TranslationFault:
        pass
    return got


def check(build):
    random = seeded(6)
    cases = [[(0x3000, 4096, False)], [(0x3FFF, 2, True)], [(0x5000, 100, False), (0x5800, 100, True)]]
    cases += [[(random.randrange(1 << 19), random.randrange(1, 20_000), random.random() < 0.5) for _ in range(5)]
              for _ in range(6)]
    pages = 0
    for buffers in cases:
        guest = one_guest(ram_mib=1).guest
        iommu = Iommu(guest.host.memory)
        iommu.enable()
        if build(iommu, guest, REQUESTER, list(buffers)) is None:
            raise NotImplementedError
        dma, wanted = iommu.space(REQUESTER), {}
        for gpa, length, writable in buffers:
            for page in range(gpa // 4096, (gpa + length - 1) // 4096 + 1):
                wanted[page] = "write" if writable or wanted.get(page) == "write" else "read"
        for page in range(guest.ram // 4096 + 2):
            got = reach(dma, page)
            if got != wanted.get(page, ""):
                raise Wrong(f"buffers {[(hex(g), n, w) for g, n, w in buffers]}, page {page:#x}",
                            wanted.get(page, "") or "no access", got or "no access")
        pages += len(wanted)
    return f"{len(cases)} domains, {pages} pages, and not one more."
