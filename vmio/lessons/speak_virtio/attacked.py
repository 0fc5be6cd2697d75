"""What a hostile driver comes to in *Speak virtio*: some attacks of the catalogue at a split and at a packed ring, with their checks and without."""

from vmio.attacks.virtqueue import catalogue
from vmio.attacks.virtqueue.parts import Case
from vmio.table import table

SHOWN = {"chain-loop": "a chain that goes round in a loop", "table-in-table": "a table inside a table", "ring-index-jumps": "an index 65,535 further",
         "ring-lent-again": "the whole ring again, unanswered", "chain-length-overflows": "lengths that add up to 2^32 + 529",
         "buffer-write-outside": "an address of the neighbour's", "direction-wrong": "a page that may only be read",
         "chain-double-fetch": "an address that changes in time", "queue-moved": "a ring that moves under way"}


def attacks_table() -> str:
    """Each of `SHOWN`: what the device says to it at either ring, and what comes of it where that check is missing."""
    rows = []
    for id, writes in SHOWN.items():
        attack = catalogue.attacks()[id]
        said = {ring: attack.run(Case(ring, "blk")).verdict if ring in attack.rings else "-" for ring in catalogue.RINGS}
        rows.append((writes, *said.values(), attack.run(attack.cases[0], False).evidence.removeprefix("the watchdog stopped the host: ")))
    return table(rows, ("what the driver writes", *catalogue.RINGS, "without the check"), "<<<<")
