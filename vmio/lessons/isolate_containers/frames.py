"""Guests for an exercise: some share frames, some have frames of their own, some have nothing where others have a page."""

from random import Random
from typing import NamedTuple

from vmio.hypervisor.guest import Guest
from vmio.hypervisor.pmem import BASE, DEVICE_BYTES
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import READ, TranslationFault
from vmio.machine.storage import Image
from vmio.modes import Machine, attachment

LAYERS = 2
LAYER_PAGES = 1100          # more than two page tables hold
MIB = 1 << 20


class Sharing(NamedTuple):
    """Guests by name, their host's memory, and pages (guest-physical) that are worth a look."""

    memory: HostMemory
    guests: dict[str, Guest]
    pages: list[int]

    def frames(self, gpa: int) -> dict[int, list[str]]:
        """Return {frame: names} of the guests that have a page at `gpa`, as the processor finds them."""
        found: dict[int, list[str]] = {}
        for name, guest in self.guests.items():
            try:
                found.setdefault(guest.slat.translate(gpa, READ), []).append(name)
            except TranslationFault:
                pass
        return found


def sharing(random: Random) -> Sharing:
    """Return four guests of one host: with one layer, with the other, with both, and with none; each has touched some pages."""
    layers = [Image(bytearray(LAYER_PAGES * PAGE), f"layer{n}") for n in range(LAYERS)]
    machine, has = Machine(), {"red": (0,), "green": (1,), "blue": (0, 1), "grey": ()}
    planned = {name: machine.guest(name, ram_mib=3) for name in has}
    for name, numbers in has.items():
        for number in numbers:
            planned[name].attach(attachment("layer", "vpmem"), layers[number])
    host = machine.power_on().host
    guests = {name: each.guest for name, each in planned.items()}
    pages = [0, 511 * PAGE, 2 * MIB, 3 * MIB - PAGE, 3 * MIB, BASE + LAYER_PAGES * PAGE]
    for number in (0, 511, 512, LAYER_PAGES - 1, *random.sample(range(1, 500), 4)):
        for base in (BASE, BASE + DEVICE_BYTES):
            pages.append(base + number * PAGE)
            for guest in guests.values():
                if any(one.base == base for one in guest.pmem) and (number in (0, 511) or random.random() < 0.7):
                    guest.cpu.load(base + number * PAGE, 8)
    return Sharing(host.memory, guests, pages)
