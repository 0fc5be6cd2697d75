def build(iommu, guest, requester, buffers):
    """Works, and gives away far too much: all of the guest's RAM, writable."""
    domain = iommu.domain()
    domain.map(0, guest.ram_spa(0), guest.ram, 3)
    iommu.attach(requester, domain)
    return domain
