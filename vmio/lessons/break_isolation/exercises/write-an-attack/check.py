from random import Random

from vmio import Host, Iommu
from vmio.lab import expect

DEVICE = 0x18


def check(steal):
    random = Random(13)
    for offset in (0x1234, 0x5FF0, 0x7FFA):
        host = Host(memory_mib=8)
        attacker, neighbour = host.guest(ram_mib=1), host.guest(ram_mib=1)
        secret = random.randbytes(16)
        neighbour.memory.write(offset, b"SECRET:" + secret)
        iommu = Iommu(host.memory)
        domain = iommu.domain()
        domain.map_guest(attacker)
        iommu.attach(DEVICE, domain)
        place = f"a secret at {neighbour.ram_spa(offset & ~0xFFF) + (offset & 0xFFF):#x}"
        expect(steal(iommu.space(DEVICE), host.memory.size), secret, given=f"{place}, IOMMU off")
        iommu.enable()
        got = steal(iommu.space(DEVICE), host.memory.size)
        expect(got, None, given=f"{place}, IOMMU on")
    return "Stolen with the IOMMU off, nothing with it on."
