def release(iommu, domain, iova, length):
    """Take [iova, iova+length) away from the domain's devices, for good."""
    domain.unmap(iova, length)
    iommu.invalidate(domain, iova, length)
