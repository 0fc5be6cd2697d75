"""The interrupts of an assigned device: handled by the host, or by nobody."""

from vmio.experiments.papers.result import Result, Row, figure
from vmio.hypervisor.apic import EMULATED, VIRTUALIZED, X2APIC_EOI
from vmio.hypervisor.costs import CostModel
from vmio.modes import one_guest
from vmio.passthrough.delivery import InterruptRouter
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id

GHZ = 2.93                    # of the processor whose exit was measured (E05)
WORK_NS = 10_000              # of the guest for each interrupt: 100,000 a second
DEVICE, VECTOR, INTERRUPTS = requester_id(0, 3), 0x50, 50


def ns_each(posted: bool, exit_ns: int) -> float:
    """ns a guest takes for `WORK_NS` of work with an interrupt in its middle, and for the exits that this causes."""
    guest = one_guest(ram_mib=1, costs=CostModel.preset().with_(hypercall_ns=exit_ns),
                      apic=VIRTUALIZED if posted else EMULATED).guest     # there was no virtualized APIC then: delivery and end exit
    host, iommu = guest.host, Iommu(guest.host.memory)
    iommu.attach(DEVICE, iommu.domain())
    cpu, space = guest.cpu, iommu.space(DEVICE)
    message = InterruptRouter(host, iommu).create(DEVICE, cpu, VECTOR, posted)
    cpu.on_interrupt(VECTOR, lambda cpu: cpu.wrmsr(X2APIC_EOI, 0))
    for _ in range(INTERRUPTS):
        guest.clock.call_later(WORK_NS // 2, lambda: space.message(*message))
        cpu.compute(WORK_NS)
    if cpu.interrupts != INTERRUPTS:
        raise RuntimeError(f"{cpu.interrupts} of {INTERRUPTS} interrupts arrived")
    return cpu.now / INTERRUPTS


def run() -> Result:
    """Return the gain with an exit at its direct price, and at one that explains the paper's."""
    direct = round(figure("E05") / GHZ)
    gains = figure("P21.1a"), figure("P21.1b")
    rows = (
        Row("gain, an exit at its direct price", gains, ns_each(False, direct) / ns_each(True, direct),
            why="2,000 cycles are the direct price. The paper that measured them says that caches and lost "
                "parallelism make it up to ten times as much."),
        Row("gain, an exit at three times that", gains, ns_each(False, 3 * direct) / ns_each(True, 3 * direct), "fit"),
        Row("part of bare metal, posted", (figure("P21.2a") / 100, figure("P21.2b") / 100),
            WORK_NS / ns_each(True, direct)),
    )
    return Result("Interrupts without exits, of an assigned device",
                  "a vCPU that is never idle, and an interrupt for each 10 us of its work, through the remapping table: "
                  "injected by a host that emulates the APIC (two exits), or posted (none). The abstract doesn't say how many interrupts "
                  "there were; 100,000 a second is assumed.", ("P21.1a", "E05"), rows)
