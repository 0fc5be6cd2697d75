"""A guest driver for the Tulip, access by access as Linux's: one register write a frame out, an interrupt and a poll for frames in.

The interrupt's handler masks receive interrupts and leaves the frames to a poll, which goes on while more come (NAPI); after
`budget` frames the guest has its turn, and the next poll goes on, interrupts still masked.
What was sent is seen when an interrupt comes: each time that the chip finds nothing more to send.
Source: Linux, drivers/net/ethernet/dec/tulip/tulip_core.c (tulip_start_xmit), interrupt.c (tulip_interrupt, tulip_poll).
"""

import struct

from vmio.devices.net.tulip import bits as b
from vmio.drivers.dim import Dim
from vmio.drivers.errors import DriverError
from vmio.drivers.tulip_moderation import MAX_FRAMES, NONE, Moderation
from vmio.drivers.tulip_serial import SerialPins
from vmio.drivers.tulip_start import ENABLED, MII_MODE, Start
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.net.frames import BROADCAST, FCS, longest

RX_ENTRIES, TX_ENTRIES, BUFFER, SIZE = 128, 32, 2048, 1536
DESCRIPTOR = struct.Struct("<4I")
RINGS_BYTES = 4096
MEMORY = RINGS_BYTES + (RX_ENTRIES + TX_ENTRIES + 1) * BUFFER + 2048        # a multiple of a page
TX_FREE = 2                          # entries that stay free: for a setup frame, and one before it
NORMAL, ABNORMAL = b.NIS, b.AIS
RX_EVENTS = b.RI | b.RU | b.RPS | b.RWT       # what a poll is for
ACKNOWLEDGED = 0x0001_FF3F           # by the handler: all but what the poll sees to
ERRORS = 0x0800_F7BA
TX_EVENTS = b.TU | b.TPS | b.TI | b.GTE
AGAIN = TX_EVENTS | b.RPS | b.UNF | b.TJT | b.LNF | b.FBE
MOST_ROUNDS = 25                     # of the handler in one interrupt
BAD = b.R_TL | b.R_ES | b.R_DE | b.R_FS | b.R_LS
BUDGET = 64                          # frames of one poll
WATCH_NS = 100_000_000               # without an interrupt for so long the driver looks by itself


class TulipDriver(Start):
    """A card whose registers are at port `base`; `memory` is where `MEMORY` bytes are for rings and buffers.

    `address` is the card's own.  `missed` counts frames that found no buffer, `errors` frames that came broken, `polls` how often
    it looked for frames.  `moderation` is what a 21143 is asked to hold back; `DriverError` for a `chip` that can't.
    """

    def __init__(self, cpu: Cpu, base: int, memory: int, chip: str = "21140A", moderation: Moderation = NONE, budget: int = BUDGET) -> None:
        if chip not in ENABLED:
            raise DriverError(f"chip {chip}: the driver knows {' and '.join(ENABLED)}")
        if moderation != NONE and chip != "21143":
            raise DriverError(f"Tulip: a {chip} can't hold interrupts back; a 21143 can")
        self.cpu, self.base, self.chip, self.moderation, self.budget = cpu, base, chip, moderation, budget
        self._dim = Dim() if moderation.adaptive else None
        self._held = 0                       # CSR11, as last written
        self.polls = self.frames = self.bytes = 0      # so many frames and bytes were received
        self.pins = SerialPins(cpu, base)
        self.rx_ring, self.tx_ring = memory, memory + RX_ENTRIES * DESCRIPTOR.size
        self._rx_buffers = memory + RINGS_BYTES
        self._tx_buffers = self._rx_buffers + RX_ENTRIES * BUFFER
        self._setup = self._tx_buffers + TX_ENTRIES * BUFFER
        self._next_rx = self._next_tx = self._oldest_tx = 0
        self._poll_wanted = False
        self._received: list[bytes] = []
        self._mode = MII_MODE
        self.missed = self.errors = self.sent = 0

    def csr(self, number: int, value: int | None = None) -> int:
        """Read a register of the card's, or write it."""
        if value is None:
            return self.cpu.inl(self.base + 8 * number)
        self.cpu.outl(self.base + 8 * number, value)
        return value

    def init(self, multicast: bool = True) -> Steps[None]:
        """Bring the card up; a generator.  With `multicast` it takes all groups' frames.  `DriverError` if it is none."""
        self._probe()
        for n in range(RX_ENTRIES):
            self._give(n)
        self._filter(setup_only=True)
        self._open(self.rx_ring, self.tx_ring)
        self._hold()
        yield from self.cpu.pay()
        if multicast:
            self._mode |= b.PM
        mode = self.csr(6) & ~b.FILTER_MODES
        self.cpu.cli()
        self._filter()
        self.csr(6, mode | self._mode & b.PM)
        self.cpu.sti()
        while self._oldest_tx != self._next_tx:
            if not (yield from self.cpu.hlt(watchdog_ns=WATCH_NS)):
                raise DriverError("Tulip: no interrupt for the setup frame")

    @property
    def address(self) -> bytes:
        """The card's own, from its ROM."""
        return self.leaf.address

    # Out.

    def _filter(self, setup_only: bool = False) -> None:
        """Put a setup frame into the transmit ring: the card's address and broadcast."""
        words = [address[at:at + 2] * 2 for address in [*[BROADCAST] * 15, self.address] for at in (0, 2, 4)]
        self.cpu.write(self._setup, b"".join(words))
        if not setup_only:
            self._put(0, 0, 0)                       # a chip's erratum: an empty descriptor before it
        self._put(b.T_SET | 192, self._setup, b.OWN)
        if not setup_only:
            self._own((self._next_tx - 2) % TX_ENTRIES)
            self.csr(1, 0)

    def _put(self, control: int, buffer: int, status: int) -> None:
        at = self._next_tx % TX_ENTRIES
        if at == TX_ENTRIES - 1:
            control |= b.END_OF_RING
        self.cpu.write(self.tx_ring + at * DESCRIPTOR.size, DESCRIPTOR.pack(status, control, buffer, 0))
        self._next_tx += 1

    def _own(self, entry: int) -> None:
        """Give a transmit descriptor to the chip."""
        self.cpu.store(self.tx_ring + entry * DESCRIPTOR.size, 4, b.OWN)

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return self._next_tx - self._oldest_tx

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Send a frame, and tell the chip at once, whether `more` follow or not; False if the ring is full.

        `DriverError` for one that is too long.

        It goes out as it is, without padding: on a virtual wire nobody needs that.
        """
        if len(frame) > longest(frame):
            raise DriverError(f"Tulip: a frame of {len(frame)} bytes; at most {longest(frame)}")
        if self.pending >= TX_ENTRIES - TX_FREE:
            return False
        at = self._next_tx % TX_ENTRIES
        buffer = self._tx_buffers + at * BUFFER
        self.cpu.write(buffer, frame)
        flags = b.T_FS | b.T_LS | b.T_DPD
        if self.pending == TX_ENTRIES // 2 or self.pending >= TX_ENTRIES - TX_FREE or at == TX_ENTRIES - 1:
            flags |= b.T_IC
        self._put(flags | len(frame), buffer, b.OWN)
        self.csr(1, 0)
        self.sent += 1
        return True

    # In.

    def _give(self, entry: int) -> None:
        """Give a receive descriptor and its buffer to the chip."""
        end = b.END_OF_RING if entry == RX_ENTRIES - 1 else 0
        self.cpu.write(self.rx_ring + entry * DESCRIPTOR.size,
                       DESCRIPTOR.pack(b.OWN, end | SIZE, self._rx_buffers + entry * BUFFER, 0))

    def interrupt(self, cpu: Cpu) -> None:
        """The handler: look why, acknowledge, see what has left, ask for a poll."""
        status = self.csr(5)
        if not status & (NORMAL | ABNORMAL):
            return
        polls = False
        for _ in range(MOST_ROUNDS):
            if not polls and status & (b.RI | b.RU):
                polls = self._poll_wanted = True
                self.csr(7, ENABLED[self.chip] & ~RX_EVENTS)
            # (Linux would leave here if there were nothing else, but the states in the upper bits are never all zeros.)
            self.csr(5, status & ACKNOWLEDGED)
            if status & TX_EVENTS:
                self._reclaim()
            if status & ABNORMAL:
                self._trouble(status)
            status = self.csr(5)
            if polls:
                status &= ~RX_EVENTS
            if not status & AGAIN:
                break
        self.missed += self.csr(8) & b.MISSED_MASK

    def _reclaim(self) -> None:
        """See which frames have left."""
        while self._oldest_tx != self._next_tx:
            if self.cpu.load(self.tx_ring + self._oldest_tx % TX_ENTRIES * DESCRIPTOR.size, 4) & b.OWN:
                return
            self._oldest_tx += 1

    def _trouble(self, status: int) -> None:
        """Something abnormal: start again what has stopped."""
        if status & b.RPS:
            self.csr(6, self._mode | b.ST | b.SR)
        if status & (b.TPS | b.UNF):
            self.csr(6, self._mode)
            self.csr(6, self._mode | b.ST | b.SR)
        self.csr(5, ERRORS)

    def _hold(self) -> None:
        """Tell a 21143 what to hold back from now on, if it is something else than so far."""
        moderation = self.moderation if self._dim is None else Moderation(MAX_FRAMES, self._dim.us)
        if moderation.register != self._held:
            self._held = moderation.register
            self.csr(11, self._held)

    def _poll(self) -> None:
        """Take what has come, until nothing more does; then interrupts may come again.  What is beyond the budget the next poll takes."""
        left = self.budget
        self.polls += 1
        while True:
            self.csr(5)
            self.csr(5, b.RI | b.RU)
            while self._take():
                left -= 1
                if not left:
                    return
            if not self.csr(5) & b.RI:
                break
        self._poll_wanted = False
        self.csr(7, ENABLED[self.chip])
        if self._dim is not None and self._dim.interrupt(self.cpu.now, self.frames, self.bytes):
            self._hold()

    def _take(self) -> bool:
        """Take the frame of the next descriptor, if the chip has put one there, and give the descriptor back."""
        at = self._next_rx
        status = self.cpu.load(self.rx_ring + at * DESCRIPTOR.size, 4)
        if status & b.OWN:
            return False
        length = (status >> b.R_LENGTH_SHIFT & b.R_LENGTH_MASK) - FCS
        if status & BAD & ~b.R_TL == b.R_FS | b.R_LS and 0 <= length <= SIZE - FCS:
            self._received.append(self.cpu.read(self._rx_buffers + at * BUFFER, length))
            self.frames += 1
            self.bytes += length
        else:
            self.errors += 1
        self._give(at)
        self._next_rx = (at + 1) % RX_ENTRIES
        return True

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until frames have come, what was sent has left, or the time is `until` (ns): then poll."""
        if not self._poll_wanted and not self._received:
            left = min(until - self.cpu.now, WATCH_NS)
            if left > 0:
                yield from self.cpu.hlt(watchdog_ns=left)
        if self._poll_wanted:
            self._poll()
        yield from self.cpu.pay()

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call."""
        received, self._received = self._received, []
        return received

