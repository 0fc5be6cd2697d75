"""The chip: sixteen registers of 32 bits, eight bytes apart, in front of what they move.

Left out: collisions and the other troubles of a shared wire (TDES0 tells none), early interrupts (a frame is whole when it is
seen), big-endian data (CSR0 BLE), the boot ROM, sleep, the 21143's serial interface.
Source: 21140A manual, 3.2 "CSR Operation".
"""

from collections.abc import Callable

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.chips import chip_named
from vmio.devices.net.tulip.descriptors import Dma
from vmio.devices.net.tulip.filter import Filter
from vmio.devices.net.tulip.mii import Mii
from vmio.devices.net.tulip.moderation import Held, Moderation
from vmio.devices.net.tulip.receive import Receiver
from vmio.devices.net.tulip.srom import Srom
from vmio.devices.net.tulip.srom_image import image
from vmio.devices.net.tulip.status import Status
from vmio.devices.net.tulip.timer import GeneralTimer, cycle_ns
from vmio.devices.net.tulip.transmit import PACES, Transmitter
from vmio.machine.bus import BadAccess
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Kept, Memory, Pending, Timers
from vmio.machine.net import frames
from vmio.machine.net.contracts import NetPort

TULIP = Form("Tulip", 1, "chip", "csr", "status", "filter", "transmit", "receive", "timer", "moderation", "srom", "mii", "pins", "dead")
BYTES, STEP = 128, 8


class Tulip:
    """`chip` "21140A" or "21143"; `pace` "wire" (a frame takes its time) or "instant"; `interrupt(level)` drives the pin.

    `memory`, what its DMA reaches, is set by its PCI function.  ValueError for an address that a card can't have.
    """

    POINTS = {"sent": "(frame, did it arrive) after each frame that has left",
              "received": "(frame, was it taken) after each frame that came"}
    sent: Callable[[bytes, bool], None] | None = None
    received: Callable[[bytes, bool], None] | None = None

    def __init__(self, clock: Timers, address: bytes, chip: str = "21140A", pace: str = "instant",
                 interrupt: Callable[[int], None] | None = None) -> None:
        if pace not in PACES:
            raise ValueError(f"pace {pace!r}: choose one of {', '.join(PACES)}")
        self.chip, self.address, self.interrupt = chip_named(chip), frames.station_address(address), interrupt or (lambda level: None)
        self.port: NetPort | None = None
        self.csr = list(self.chip.reset)       # as software last wrote them
        self.dma = Dma()
        self.status = Status(self.chip, lambda level: self.interrupt(level))
        self.filter = Filter()
        self.moderation = Moderation(*[self._held(clock, event) for event in (b.RI, b.TI)])
        self.transmitter = Transmitter(clock, self.csr, self.status, self.filter, self.dma, self.moderation.transmit, pace, self._out,
                                       self._fatal)
        self.receiver = Receiver(self.csr, self.status, self.filter, self.dma, self.moderation.receive, self._fatal)
        self.timer = GeneralTimer(clock, self.csr, lambda: self.status.happened(b.GTE))
        self.srom, self.mii = Srom(image(self.chip, self.address)), Mii(self.chip.mdio_idle)
        self.reset()

    def _held(self, clock: Timers, event: int) -> Held:
        return Held(clock, lambda: self.status.happened(event), lambda: bool(self.status.value & event))

    @property
    def memory(self) -> Memory:
        """What its DMA reaches."""
        return self.dma.memory

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self.dma.memory = memory

    def reset(self) -> None:
        """As after power-on; the serial ROM and the PHY keep what they hold."""
        self.csr[:] = self.chip.reset
        self._direction = self._outputs = 0    # of the general-purpose port: which pins are outputs, and what they are
        self._dead = False                     # after a bus error the chip moves nothing until a reset
        self.filter.reset()
        self.transmitter.reset()
        self.receiver.reset()
        self.timer.reset(self.chip.reset[11])
        self.moderation.reset(self.chip.reset[11])
        self.status.reset()

    # The wire.

    def plug_in(self, port: NetPort) -> None:
        """Connect the card to a port.  ValueError if another one is there."""
        port.connect(self)
        self.port = port
        self.mii.set_link(port.up)

    def receive(self, frame: bytes) -> bool:
        """Take a frame from the wire; False if it is lost."""
        if self.csr[6] >> b.LOOPBACK_SHIFT & b.LOOPBACK_MASK:
            return self.status.rx != b.RX_STOPPED      # in loopback the chip hears only itself
        taken = self.receiver.take(frame)
        if self.received is not None:
            self.received(frame, taken)
        return taken

    def link_changed(self, up: bool) -> None:
        """The cable was pulled out, or plugged in."""
        self.mii.set_link(up)

    def _out(self, frame: bytes) -> None:
        """A frame leaves; what is shorter or longer than a network takes is lost on the wire."""
        loop = self.csr[6] >> b.LOOPBACK_SHIFT & b.LOOPBACK_MASK
        if loop:
            self.receiver.take(frame, loop)
            return
        legal = frames.HEADER <= len(frame) <= frames.longest(frame)
        arrived = legal and self.port is not None and self.port.send(frame)
        if self.sent is not None:
            self.sent(frame, arrived)

    def _fatal(self) -> None:
        """Memory didn't answer: both processes stop, and nothing moves until a reset."""
        self._dead = True
        self.transmitter.reset()
        self.status.rx, self.status.tx = b.RX_STOPPED, b.TX_STOPPED
        self.status.bus_error()

    # Registers.

    def read(self, offset: int, size: int) -> int:
        """Return `size` bytes of a register; between registers there are zeros."""
        if not 0 <= offset < BYTES or size not in (1, 2, 4):
            raise BadAccess(f"tulip: no {size}-byte register at {offset:#x}")
        value = 0 if offset % STEP else self._read(offset // STEP)
        return value & (1 << 8 * size) - 1

    def _read(self, number: int) -> int:
        if number == 5:
            return self.status.value
        if number == 6:
            return self.csr[6] & ~b.FILTER_BITS | self.filter.mode
        if number == 7:
            return self.status.enabled
        if number == 8:
            return self.chip.reset[8] | self.receiver.read_missed()
        if number == 9:
            value = self.csr[9] & ~b.MDI | b.MDI * self.mii.out
            return value & ~b.SROM_OUT | b.SROM_OUT * self.srom.out if value & b.SROM_SELECT else value
        if number == 11:
            return self.timer.read() & b.TIMER_BITS | self.moderation.read() if self.chip.moderates else self.timer.read()
        if number == 12 and self.chip.general_port:
            return self.chip.reset[12] | self._outputs & self._direction
        return self.csr[number]

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register; of a smaller access the upper bits are zeros."""
        if not 0 <= offset < BYTES or size not in (1, 2, 4):
            raise BadAccess(f"tulip: no {size}-byte register at {offset:#x}")
        if not offset % STEP:
            self._write(offset // STEP, value)

    def _write(self, number: int, value: int) -> None:
        if number == 0:
            self.csr[0] = value
            if value & b.RESET:
                self.reset()
        elif number in (1, 2, 3, 4, 6):
            self._drive(number, value)
        elif number == 5:
            self.status.acknowledge(value)
        elif number == 7:
            self.status.enable(value)
        elif number == 9:
            self.csr[9] = value
            if value & b.SROM_SELECT:
                self.srom.pins(value)
            self.mii.pins(value)
        elif number == 11:
            self.timer.write(value)
            if self.chip.moderates:
                self.moderation.write(value, cycle_ns(self.csr[6]))
        elif number == 12:
            self._general_port(value)
        elif number != 8:       # which only counts
            self.csr[number] = value

    def _drive(self, number: int, value: int) -> None:
        """The registers that make the two processes do something."""
        if number == 6:
            self.csr[6] = value
        if self._dead:
            return
        if number == 1:
            self.transmitter.demand()
        elif number == 2:
            self.receiver.demand()
        elif number == 3:
            self.receiver.begin(value)
        elif number == 4:
            self.transmitter.begin(value)
        else:
            self.receiver.command(bool(value & b.SR))
            self.transmitter.command(bool(value & b.ST))

    def _general_port(self, value: int) -> None:
        """CSR12: bit 8 says whether the low eight bits are directions or levels."""
        if value & b.PORT_CONTROL:
            self._direction = value & 0xFF
        else:
            self._outputs = value & 0xFF

    # Checkpoint.

    def timers(self) -> list[tuple[str, Pending | None]]:
        """Return what the chip has on the clock."""
        return [*self.transmitter.timers(), ("timer", self.timer.timer), *self.moderation.timers()]

    def _parts(self) -> dict[str, Kept]:
        """{name: part} in the order in which they are taken back: the interrupt line last."""
        return {"filter": self.filter, "transmit": self.transmitter, "receive": self.receiver, "timer": self.timer,
                "moderation": self.moderation, "srom": self.srom, "mii": self.mii, "status": self.status}

    def save(self) -> State:
        """Return the state of all parts."""
        return TULIP.state(chip=self.chip.name, csr=self.csr, pins=[self._direction, self._outputs], dead=self._dead,
                           **{name: part.save() for name, part in self._parts().items()})

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = TULIP.take(state)
        same("Tulip, chip", saved["chip"], self.chip.name)
        self.csr[:] = saved["csr"]
        self._direction, self._outputs = saved["pins"]
        self._dead = saved["dead"]
        for name, part in self._parts().items():
            part.restore(saved[name])
