"""A virtual function of the 82576: the register file that a guest's driver sees, two pairs of queues, three interrupts, a mailbox.

Registers take whole words only; what is not there reads 0 and takes nothing.  Nothing here reaches another function's state: a
frame goes through the switch, and a message only asks the physical function's driver.
Source: Intel 82576EB data sheet, 8.26 "Virtual Function Device Registers", 7.8 "PCI-SIG Single Root IOV".
"""

from functools import partial
from typing import Protocol

from vmio.devices.pci.dma import NoMemory
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.interrupts import Interrupts
from vmio.hardware.nic.mailbox import WORDS, Mailbox
from vmio.hardware.nic.queue import Ring
from vmio.hardware.nic.receive import Receiver
from vmio.hardware.nic.transmit import Transmitter
from vmio.machine.checkpoint import Form, State
from vmio.machine.clock import Timer
from vmio.machine.contracts import Memory, Timers
from vmio.machine.net.frames import FCS, is_group

VIRTUAL = Form("virtual network card", 2, "queues", "interrupts", "ivar", "ivar_misc", "counts", "faults", "mailbox")
BAR_BYTES = 0x4000
QUEUES, VECTORS = 2, 3
SPAN = 0x100                       # from a queue's registers to the next one's
COUNTS = (r.RX_FRAMES, r.TX_FRAMES, r.RX_BYTES, r.TX_BYTES, r.RX_GROUP,
          r.LOOP_RX_FRAMES, r.LOOP_TX_FRAMES, r.LOOP_RX_BYTES, r.LOOP_TX_BYTES)
WORD = 0xFFFF_FFFF


class DeviceClock(Timers, Protocol):
    """A clock of the host's, which a guest's store may push on."""

    def arrived(self, ns: int) -> None:
        """What comes now was asked for at `ns`."""


class Adapter(Protocol):
    """What a virtual function asks of its card."""

    def status(self) -> int:
        """Return the STATUS register."""

    def may_send(self, pool: int) -> bool:
        """Return whether the physical function lets this one send."""

    def transmit(self, pool: int, frame: bytes) -> bool:
        """Send a frame, to the wire or to a neighbour; False: nobody has taken it."""

    def mail(self, pool: int, asked: int) -> None:
        """There is something in this one's mailbox: MBVFICR's bits for VF 0."""

    def virtual_reset(self, pool: int) -> None:
        """This one was reset."""


class VirtualNic:
    """VF `pool` of `adapter`.  `memory`, what its DMA reaches, is set by its function; `faults` counts what that refused."""

    def __init__(self, adapter: Adapter, pool: int, clock: DeviceClock) -> None:
        self.adapter, self.pool, self.clock = adapter, pool, clock
        self.memory: Memory = NoMemory
        self.interrupts = Interrupts(clock, VECTORS)
        self.mailbox = Mailbox(partial(adapter.mail, pool), self._told)
        self.receivers = [Receiver(self) for _ in range(QUEUES)]
        self.transmitters = [Transmitter(self) for _ in range(QUEUES)]
        self._rings: dict[int, Ring] = {r.RX + SPAN * n: ring for n, ring in enumerate(self.receivers)}
        self._rings |= {r.TX + SPAN * n: ring for n, ring in enumerate(self.transmitters)}
        self._power_on()

    def _power_on(self) -> None:
        self.faults = 0
        for ring in self._rings.values():
            ring.power_on()
        self.interrupts.power_on()
        self.interrupts.msix.reset()
        self.ivar = self.ivar_misc = 0
        self.counts = dict.fromkeys(COUNTS, 0)
        self.mailbox.empty()

    def reset(self) -> None:
        """Function level reset: as at power-on, and the physical function hears of it."""
        self._power_on()
        self.adapter.virtual_reset(self.pool)

    # Registers.

    def read(self, offset: int, size: int) -> int:
        """Return a register, or the part of it that is asked for; no part of one has an effect."""
        if size == 4 and not offset & 3:
            return self._read(offset)
        return self._look(offset & ~3) >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _read(self, offset: int) -> int:
        if offset == r.V2P:
            return self.mailbox.read_vf()
        if offset == r.EICR:
            return self.interrupts.read(offset)
        return self._look(offset)

    def _look(self, offset: int) -> int:
        """A register without the effect of being read."""
        ring = self._rings.get(offset & ~0xFF)
        if ring is not None:
            return ring.read(offset & 0xFF)
        if offset == r.STATUS:
            return self.adapter.status()
        if offset == r.V2P:
            return self.mailbox.bits
        if r.MAIL <= offset < r.MAIL + 4 * WORDS:
            return self.mailbox.words[offset - r.MAIL >> 2]
        if offset == r.IVAR:
            return self.ivar
        if offset == r.IVAR_MISC:
            return self.ivar_misc
        if offset == r.EICR:
            return self.interrupts.cause
        return self.counts[offset] if offset in self.counts else self.interrupts.read(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register; what is no whole word is lost."""
        if size != 4 or offset & 3:
            return
        ring = self._rings.get(offset & ~0xFF)
        if ring is not None:
            ring.write(offset & 0xFF, value)
        elif offset == r.V2P:
            self.mailbox.write_vf(value)
        elif r.MAIL <= offset < r.MAIL + 4 * WORDS:
            self.mailbox.words[offset - r.MAIL >> 2] = value
        elif offset == r.IVAR:
            self.ivar = value
        elif offset == r.IVAR_MISC:
            self.ivar_misc = value & 0xFF
        elif offset == r.CTRL:
            if value & r.RESET:
                for each in self._rings.values():
                    each.stop()
                self.adapter.virtual_reset(self.pool)
        else:
            self.interrupts.write(offset, value)

    # What queues and mailbox ask for.

    def caused(self, ring: Ring) -> None:
        """A queue has something to say: IVAR has a byte for each, receive before transmit."""
        queue, sends = (self.transmitters.index(ring), 1) if isinstance(ring, Transmitter) else (self.receivers.index(ring), 0)  # type: ignore[arg-type]
        self._raise(self.ivar >> 8 * (2 * queue + sends))

    def _told(self) -> None:
        """The physical function has said something."""
        self._raise(self.ivar_misc)

    def _raise(self, entry: int) -> None:
        if entry & r.VALID and entry & 3 < VECTORS:
            self.interrupts.raise_causes(1 << (entry & 3))

    @property
    def may_send(self) -> bool:
        """Whether its transmit queues work."""
        return self.adapter.may_send(self.pool)

    def go(self) -> None:
        """Send what waits: it may send from now on."""
        for each in self.transmitters:
            each.go()

    def send(self, frame: bytes) -> None:
        """A queue has a frame."""
        self._count(r.TX_FRAMES, r.TX_BYTES, frame)
        self.adapter.transmit(self.pool, frame)

    # The switch's side.

    def receive(self, frame: bytes, vlan: int | None, looped: bool) -> bool:
        """Take a frame that the switch has for this function; False: it is lost.  `looped`: it comes from a neighbour."""
        if not self.receivers[0].take(frame, vlan, looped):
            return False
        self._count(r.RX_FRAMES, r.RX_BYTES, frame)
        if is_group(frame):
            self._add(r.RX_GROUP, 1)
        if looped:
            self._count(r.LOOP_RX_FRAMES, r.LOOP_RX_BYTES, frame)
        return True

    def looped(self, frame: bytes) -> None:
        """One of its own frames went to a neighbour."""
        self._count(r.LOOP_TX_FRAMES, r.LOOP_TX_BYTES, frame)

    def _count(self, number: int, octets: int, frame: bytes) -> None:
        self._add(number, 1)
        self._add(octets, len(frame) + FCS)

    def _add(self, register: int, count: int) -> None:
        self.counts[register] = self.counts[register] + count & WORD

    # Checkpoint.

    def timers(self) -> list[tuple[str, Timer | None]]:
        """Return what it has on its clock, as (name, timer) pairs."""
        return [*self.interrupts.timers(), *((f"transmit {n}", each.timer) for n, each in enumerate(self.transmitters) if each.waits)]

    def save(self) -> State:
        """Return all that it holds; what is in memory is memory's."""
        return VIRTUAL.state(
            queues=[ring.save() for ring in self._rings.values()], interrupts=self.interrupts.save(), ivar=self.ivar,
            ivar_misc=self.ivar_misc, counts=list(self.counts.values()), faults=self.faults, mailbox=self.mailbox.save())

    def restore(self, state: State) -> None:
        """Take back what `save` gave; the clock then gets the `timers`."""
        saved = VIRTUAL.take(state)
        for ring, each in zip(self._rings.values(), saved["queues"], strict=True):
            ring.restore(each)
        self.interrupts.restore(saved["interrupts"])
        self.ivar, self.ivar_misc, self.faults = saved["ivar"], saved["ivar_misc"], saved["faults"]
        self.counts = dict(zip(COUNTS, saved["counts"], strict=True))
        self.mailbox.restore(saved["mailbox"])
