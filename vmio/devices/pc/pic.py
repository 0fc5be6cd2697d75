"""The two 8259A interrupt controllers of a PC, and the edge/level registers beside them.

Commands follow the Intel 8259A data sheet (order 231468), "Programming the 8259A";
what the PC's chip set adds (ELCR, no level bit in ICW1, no 8080 mode) the Intel
82371SB (PIIX3) data sheet, "Interrupt Controller".  Where they are silent we do as
QEMU 7.2 does.  QEMU, and so this chip, differs from the 8259A's sheet here:
- an edge stays in IRR though its line falls before INTA (the sheet: spurious IR7);
- a non-specific EOI ends the highest level in service, masked or not, in special
  mask mode too (the sheet: it doesn't see masked ones).
"""

from collections.abc import Callable
from functools import partial

from vmio.machine.bus import BadAccess
from vmio.machine.contracts import State
from vmio.machine.lines import Line

NONE = 8     # a priority below all others
CASCADE = 2  # the master's input that the slave's INT drives
ICW1, OCW3 = 0x10, 0x08  # which command a write to A0 = 0 is
ICW1_IC4, ICW1_SINGLE = 0x01, 0x02
OCW3_READ, OCW3_POLL, OCW3_SET_MASK_MODE = 0x02, 0x04, 0x40
ICW4_AUTO_EOI, ICW4_NESTED = 0x02, 0x10

CHIP_STATE = ("irr", "isr", "imr", "lines", "elcr", "base", "lowest", "expecting", "wants_icw4", "single",
              "auto_eoi", "rotate_on_auto_eoi", "special_mask", "special_nested", "read_isr", "poll")


def _ranks(lowest: int) -> bytes:
    """Return the priority of the highest input in each set of inputs (a byte): 0, the one after `lowest`, to 7; `NONE` in no set."""
    turned = [(inputs | inputs << 8) >> lowest + 1 & 0xFF for inputs in range(256)]
    return bytes((each & -each).bit_length() - 1 if each else NONE for each in turned)


RANKS = [_ranks(lowest) for lowest in range(8)]     # by the input that is lowest: looked up, as it is asked for at each move of a line


class Pic:
    """One 8259A.  `int_out(level)` is its INT pin; offset 0 is A0 = 0 (commands), 1 is A0 = 1 (IMR, ICW2-4)."""

    def __init__(self, int_out: Callable[[int], None], elcr_mask: int, is_master: bool) -> None:
        self._int_out, self.elcr_mask, self.is_master = int_out, elcr_mask, is_master
        self.irr = self.elcr = 0
        self.reset()

    def reset(self) -> None:
        """Power-on: nothing requested, everything edge-triggered, vector base 0 until ICW2."""
        self.elcr = 0
        self._initialise()

    def _initialise(self) -> None:
        """What ICW1 does: all of it but ELCR; a level-triggered request is still there, an edge is forgotten."""
        self.irr &= self.elcr
        self.lines = 0  # levels as the edge detectors remember them
        self.isr = self.imr = self.base = 0
        self.lowest = 7  # IR7 has the lowest priority
        self.expecting = 0  # which ICW comes next at A0 = 1; 0: none, it is OCW1
        self.wants_icw4 = self.single = self.auto_eoi = self.rotate_on_auto_eoi = False
        self.special_mask = self.special_nested = self.read_isr = self.poll = False
        self._update()

    # Requests and priorities.

    def set_input(self, n: int, level: int) -> None:
        """Drive IRn.  May be called again with the same level: after ICW1 that counts as an edge."""
        bit, before = 1 << n, self.irr
        if level:
            if self.elcr & bit or not self.lines & bit:
                self.irr |= bit
            self.lines |= bit
        else:
            if self.elcr & bit:
                self.irr &= ~bit
            self.lines &= ~bit
        if self.irr != before:
            self._update()

    def pending(self) -> int | None:
        """Return the input that INT is raised for, or None: unmasked, and above all that is in service."""
        requests = self.irr & ~self.imr
        if not requests:
            return None
        ranks = RANKS[self.lowest]
        request = ranks[requests]
        in_service = self.isr
        if in_service:
            if self.special_mask:
                in_service &= ~self.imr
            if self.special_nested and self.is_master:
                in_service &= ~(1 << CASCADE)  # the slave may interrupt itself
            if request >= ranks[in_service]:
                return None
        return request + self.lowest + 1 & 7

    def acknowledge(self, n: int) -> None:
        """INTA for IRn: request becomes service (or is over at once, with automatic EOI)."""
        if not self.auto_eoi:
            self.isr |= 1 << n
        elif self.rotate_on_auto_eoi:
            self.lowest = n
        if not self.elcr & 1 << n:
            self.irr &= ~(1 << n)
        self._update()

    def _update(self) -> None:
        self._int_out(0 if self.pending() is None else 1)

    # Registers.

    def read(self, offset: int, size: int) -> int:
        """IRR or ISR (as OCW3 chose) at offset 0, IMR at 1; after a poll command, the poll word at either."""
        if size != 1 or not 0 <= offset <= 1:
            raise BadAccess(f"8259A has no {size}-byte register at {offset:#x}")
        if self.poll:
            self.poll = False
            n = self.pending()
            if n is None:
                return 0
            self.acknowledge(n)
            return 0x80 | n
        if offset == 1:
            return self.imr
        return self.isr if self.read_isr else self.irr

    def write(self, offset: int, size: int, value: int) -> None:
        """ICW1, OCW2 or OCW3 at offset 0; ICW2-4 in their turn, or OCW1, at 1."""
        if size != 1 or not 0 <= offset <= 1:
            raise BadAccess(f"8259A has no {size}-byte register at {offset:#x}")
        if offset == 1:
            self._write_data(value)
        elif value & ICW1:
            self._initialise()
            self.expecting = 2
            self.wants_icw4 = bool(value & ICW1_IC4)
            self.single = bool(value & ICW1_SINGLE)
        elif value & OCW3:
            self._write_ocw3(value)
        else:
            self._write_ocw2(value >> 5, value & 7)

    def _write_data(self, value: int) -> None:
        if self.expecting == 0:
            self.imr = value
            self._update()
        elif self.expecting == 2:
            self.base = value & 0xF8
            self.expecting = 3 if not self.single else 4 if self.wants_icw4 else 0
        elif self.expecting == 3:  # ICW3: how the PC's two chips are wired is not in question
            self.expecting = 4 if self.wants_icw4 else 0
        else:
            self.special_nested = bool(value & ICW4_NESTED)
            self.auto_eoi = bool(value & ICW4_AUTO_EOI)
            self.expecting = 0

    def _write_ocw2(self, command: int, level: int) -> None:
        """R, SL, EOI in the three bits of `command`; `level` counts where SL is set (but 010 is no operation)."""
        rotate, specific, eoi = command & 4, command & 2, command & 1
        if eoi:
            if not (specific or self.isr):
                return
            n = level if specific else RANKS[self.lowest][self.isr] + self.lowest + 1 & 7
            self.isr &= ~(1 << n)
            if rotate:
                self.lowest = n
        elif rotate and specific:
            self.lowest = level  # set priority
        else:
            if not specific:
                self.rotate_on_auto_eoi = bool(rotate)
            return
        self._update()

    def _write_ocw3(self, value: int) -> None:
        if value & OCW3_POLL:
            self.poll = True
        if value & OCW3_READ:
            self.read_isr = bool(value & 1)
        if value & OCW3_SET_MASK_MODE:
            self.special_mask = bool(value & 0x20)
            self._update()

    def save(self) -> State:
        """Return the registers as plain values."""
        return {name: getattr(self, name) for name in CHIP_STATE}

    def restore(self, state: State) -> None:
        """Take the registers that `save` gave and drive INT accordingly."""
        for name in CHIP_STATE:
            setattr(self, name, state[name])
        self._update()


class Elcr:
    """Edge/level control registers, ports 4D0h and 4D1h (PIIX3): a one makes that input level-triggered."""

    def __init__(self, master: Pic, slave: Pic) -> None:
        self._chips = (master, slave)

    def read(self, offset: int, size: int) -> int:
        """ELCR1 (IRQ 0-7) at offset 0, ELCR2 (IRQ 8-15) at 1."""
        return self._chip(offset, size).elcr

    def write(self, offset: int, size: int, value: int) -> None:
        """Set it; IRQ 0, 1, 2, 8 and 13 are always edges.  Takes effect at the line's next move."""
        chip = self._chip(offset, size)
        chip.elcr = value & chip.elcr_mask

    def reset(self) -> None:
        """All inputs edge-triggered."""
        for chip in self._chips:
            chip.elcr = 0

    def save(self) -> State:
        """Nothing of its own: the bits are the chips'."""
        return {}

    def restore(self, state: State) -> None:
        """Nothing to do, see `save`."""

    def _chip(self, offset: int, size: int) -> Pic:
        if size != 1 or offset not in (0, 1):
            raise BadAccess(f"ELCR has no {size}-byte register at {offset:#x}")
        return self._chips[offset]


class PicPair:
    """Master (20h) and slave (A0h), cascaded at IRQ 2; `int_line` goes to the CPU.

    `master`, `slave`, `elcr` are the devices for the bus, `input(n)` the sink for IRQ n's line,
    `acknowledge()` the CPU's INTA cycle.
    """

    def __init__(self, int_line: Line) -> None:
        self.line = int_line
        self.master = Pic(int_line.set, 0xF8, True)
        self.slave = Pic(partial(self.master.set_input, CASCADE), 0xDE, False)
        self.elcr = Elcr(self.master, self.slave)

    def input(self, n: int) -> Callable[[int], None]:
        """Return a function(level) that drives IRQ n (0 to 15); 2 is the cascade's own input."""
        if not 0 <= n < 16:
            raise ValueError(f"IRQ is {n}; it must be 0 to 15")
        chip, pin = (self.master, n) if n < 8 else (self.slave, n - 8)
        return partial(chip.set_input, pin)

    def acknowledge(self) -> int:
        """INTA: the vector of the highest request; the default IR7 of the chip that has none (spurious)."""
        n = self.master.pending()
        if n is None:
            return self.master.base + 7
        self.master.acknowledge(n)
        if n != CASCADE:
            return self.master.base + n
        n = self.slave.pending()
        if n is None:
            return self.slave.base + 7
        self.master.set_input(CASCADE, 0)  # INT falls for INTA: what is still pending is a new edge
        self.slave.acknowledge(n)
        return self.slave.base + n

    def reset(self) -> None:
        """Power-on of both chips."""
        self.slave.reset()
        self.master.reset()

    def save(self) -> State:
        """Return both chips."""
        return {"master": self.master.save(), "slave": self.slave.save()}

    def restore(self, state: State) -> None:
        """Become the pair that `save` described."""
        self.slave.restore(state["slave"])
        self.master.restore(state["master"])
