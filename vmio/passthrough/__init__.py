"""Devices given to guests whole: the IOMMU that makes it safe, interrupt remapping, assignment."""
