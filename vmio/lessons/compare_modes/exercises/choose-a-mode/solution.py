def choose(case):
    """The best mode that `case` (drivers, migrates, iommu, measure) allows."""
    allowed = []
    if "ata" in case.drivers:
        allowed.append("emulated")
    if "storvsc" in case.drivers:
        allowed.append("split")
    if "nvme" in case.drivers and case.iommu and not case.migrates:
        allowed.append("passthrough")
    return min(allowed, key=case.measure)
