"""The predictions of *Break isolation* with numbers of a student's own: how far down the lists one looks."""

from vmio.attacks.catalogue import attacks
from vmio.lab.asked import Own
from vmio.lessons.break_isolation import tables


def _without_iommu(first: int, last: int) -> int:
    return len(set(tables.ids("passthrough")[first - 1:last]) & set(tables.harmful("passthrough", "the IOMMU")))


def _noticed(count: int) -> int:
    return len(set(list(attacks())[:count]) & set(tables.noticed()))


OWN = {
    "attacks-without-iommu": Own("Of the attacks {first} to {last} of this list: how many do damage if only the IOMMU is missing?",
                                 {"first": range(1, 6), "last": range(8, 20)}, _without_iommu),
    "attacks-noticed": Own("Of the first {count} attacks of the panel's list, every defence on: how many does somebody refuse?",
                           {"count": range(12, 89)}, _noticed)}
