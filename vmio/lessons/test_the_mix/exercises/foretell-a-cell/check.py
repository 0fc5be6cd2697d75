from vmio.lab import expect, one_of, seeded
from vmio.lessons.test_the_mix.panel import VERDICTS, disk_verdict

DRIVERS = ("StorVSC", "IDE, PIO", "IDE, DMA", "IDE, DMA if offered")
IDE, SCSI = "IDE disk", "SCSI on VMBus"


def check(verdict):
    random = seeded(42)
    cases = [(["IDE, DMA", "IDE, PIO"], {IDE}, False, False), (["StorVSC", "IDE, DMA if offered"], {IDE, SCSI}, False, False),
             (["StorVSC"], {IDE}, True, True), (["IDE, PIO", "StorVSC"], {IDE, SCSI}, True, False)]
    for _ in range(16):
        offered = {device for device in (IDE, SCSI) if random.random() < 0.7}
        cases.append((random.sample(DRIVERS, random.randint(1, 3)), offered, random.random() < 0.6, random.random() < 0.5))
    for drivers, offered, agreed, dma in cases:
        given = f"drivers {drivers}, offered {sorted(offered)}, agreed {agreed}, dma {dma}"
        answer = one_of(verdict(list(drivers), set(offered), agreed, dma), VERDICTS, given)
        expect(answer, disk_verdict(drivers, offered, agreed, dma), given=given)
    return f"{len(cases)} guests on as many hosts: each run ended as you said."
