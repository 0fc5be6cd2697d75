def build(iommu, guest, requester, buffers):
    """A domain in which `requester` reaches the pages of `buffers`, (gpa, length, writable), and no others."""
    pages = {}
    for gpa, length, writable in buffers:
        for page in range(gpa // 4096, (gpa + length - 1) // 4096 + 1):
            pages[page] = pages.get(page, 0) | (3 if writable else 1)
    domain = iommu.domain()
    for page, permissions in pages.items():
        domain.map(page * 4096, guest.ram_spa(page * 4096), 4096, permissions)
    iommu.attach(requester, domain)
    return domain
