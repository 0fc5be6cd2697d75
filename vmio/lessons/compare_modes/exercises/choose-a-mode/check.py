from dataclasses import dataclass

from vmio import CostModel, compare, compare_sweep
from vmio.lab import Wrong, one_of

NEEDS = {"emulated": "ata", "split": "storvsc", "passthrough": "nvme"}


@dataclass(frozen=True)
class Case:
    """A guest and its host; `cheap` divides the price of every exit."""

    name: str
    drivers: tuple = ("ata", "storvsc", "nvme")
    migrates: bool = False
    iommu: bool = True
    workload: str = "mix"
    figure: str = "time"
    cheap: int = 1

    def measure(self, mode):
        """us per request, or us of host CPU per request."""
        if mode not in NEEDS:
            raise ValueError(f"mode {mode!r}: emulated, split or passthrough")
        costs = CostModel.preset()
        costs = costs.with_(**{term: round(getattr(costs, term) / self.cheap) for term in compare_sweep.EXIT_TERMS})
        one = compare.run(compare.params_of(mode, costs=costs), compare.requests(self.workload)[:16])
        return (one.virtual_ns if self.figure == "time" else one.host_cpu_ns) / one.requests / 1000

    def refusal(self, mode):
        """Why the mode can't be, or None."""
        if NEEDS.get(mode) not in self.drivers:
            return f"the guest has no driver for {mode}"
        if mode == "passthrough" and self.migrates:
            return "a device in the guest's hands holds it where it is"
        return "without an IOMMU nothing stops the device's DMA" if mode == "passthrough" and not self.iommu else None


CASES = (Case("a database, all drivers", workload="sqlite_commits"), Case("an old system", drivers=("ata",)),
         Case("a guest that migrates", migrates=True, workload="untar"),
         Case("a host without an IOMMU", iommu=False, figure="host CPU"),
         Case("no StorVSC, migrates", drivers=("ata", "nvme"), migrates=True),
         Case("migrates, exits cost a sixteenth", migrates=True, cheap=16),
         Case("cheap exits, host CPU counts", cheap=16, figure="host CPU"))


def check(choose):
    chosen = []
    for case in CASES:
        answer = one_of(choose(case), (*NEEDS,), given=case.name)
        best = min((mode for mode in NEEDS if not case.refusal(mode)), key=case.measure)
        if why := case.refusal(answer):
            raise Wrong(case.name, best, answer, f"No: {why}.")
        if answer != best:
            raise Wrong(case.name, best, answer, f"{case.figure}: {case.measure(best):.2f} us against {case.measure(answer):.2f}.")
        chosen.append(answer)
    return f"{len(CASES)} cases: {', '.join(f'{chosen.count(mode)} {mode}' for mode in NEEDS)}."
