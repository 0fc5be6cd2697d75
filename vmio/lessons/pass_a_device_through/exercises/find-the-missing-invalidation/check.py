from vmio import TranslationFault, iotlb
from vmio.lab import Wrong, varied


def check(release):
    for pages in varied("find-the-missing-invalidation", (1, 2, 4), range(1, 9)):
        guest, iommu, domain, dma = iotlb.machine()
        for page in range(32):
            domain.map(page * 4096, guest.ram_spa(page * 4096), 4096)
            dma.read(page * 4096, 1)
        iova, length = 8 * 4096, pages * 4096
        unmap, invalidate = domain.unmap, iommu.invalidate

        def and_the_device_reads(step):
            def both(*arguments, **options):
                result = step(*arguments, **options)
                for page in range(pages):      # the device does not wait for the driver
                    try:
                        dma.read(iova + page * 4096, 1)
                    except TranslationFault:
                        pass
                return result
            return both
        domain.unmap, iommu.invalidate = and_the_device_reads(unmap), and_the_device_reads(invalidate)
        release(iommu, domain, iova, length)
        given = f"{pages} pages at {iova:#x}"
        if domain.is_mapped(iova):
            raise NotImplementedError
        for page in range(pages):
            try:
                dma.read(iova + page * 4096, 1)
            except TranslationFault:
                continue
            raise Wrong(given, "a fault when the device reads again", "the page's bytes")
        misses = iommu.iotlb.misses
        for page in (*range(8), *range(16, 32)):
            dma.read(page * 4096, 1)
        if iommu.iotlb.misses != misses:
            raise Wrong(given, "other buffers' translations kept", f"{iommu.iotlb.misses - misses} of them forgotten")
    return "The page is gone, the neighbours are not."
