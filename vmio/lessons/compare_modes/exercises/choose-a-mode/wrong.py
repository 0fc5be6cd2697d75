def choose(case):
    """Trusts the order of the lessons: passthrough if it may be, else split, else emulation; it never measures."""
    if "nvme" in case.drivers and case.iommu and not case.migrates:
        return "passthrough"
    return "split" if "storvsc" in case.drivers else "emulated"
