"""The IOMMU (VT-d): domains, translation, its caches, interrupt remapping and posting."""
