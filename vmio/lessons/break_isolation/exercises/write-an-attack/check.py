from vmio import Iommu, Machine
from vmio.lab import expect, seeded, varied

DEVICE = 0x18


def check(steal):
    random = seeded(13)
    for offset in (*varied("write-an-attack", (0x1234, 0x5FF0), range(0x1000, 0x7FF0)), 0x7FFA):
        machine = Machine(memory_mib=8)
        attacker, neighbour = (machine.guest(name, ram_mib=1).make().guest for name in ("attacker", "neighbour"))
        host = machine.host
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
