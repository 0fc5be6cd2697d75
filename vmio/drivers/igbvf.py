"""A guest driver for a virtual function of the 82576, access by access as Linux's igbvf: one store a frame out, one a poll for frames in.

None of these is an exit where the function was assigned to the guest: the registers are the card's own.  What interrupts is masked
by the card itself (EIAM) until a store to EIMS, at the end of the poll or of the handler.
Left out: the watchdog of every two seconds, which reads the mailbox and nine counters, and changes of EITR while it runs.
Source: Linux, drivers/net/ethernet/intel/igbvf/netdev.c (igbvf_tx_queue_adv, igbvf_clean_tx_irq, igbvf_clean_rx_irq, igbvf_poll).
"""

from vmio.drivers.errors import DriverError
from vmio.drivers.igbvf_mailbox import Mailbox
from vmio.drivers.igbvf_start import ENTRIES, OTHER_VECTOR, RX_VECTOR, TX_VECTOR, Start
from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.clock import NEVER
from vmio.machine.net.frames import HEADER, longest

BUFFER = 2048
RING_BYTES = ENTRIES * d.BYTES
MEMORY = 2 * RING_BYTES + 2 * ENTRIES * BUFFER           # a multiple of a page
TX_FREE = 4                                              # entries that stay free
GIVE = 16                                                # receive buffers that are given back together
BUDGET = 64                                              # frames of one poll
WATCH_NS = 100_000_000                                   # without an interrupt for so long the driver looks by itself
COMMAND = d.DATA | d.T_ADVANCED | d.T_FCS | d.T_END | d.T_REPORT
OWN = bytes.fromhex("021b21000001")                      # the address, where the host leaves it to the driver (Linux: a random one)


class IgbVf(Start):
    """The function whose registers are at `base`; `memory` is where `MEMORY` bytes are for rings and buffers.

    `own` is the address that it takes if the host gives it none.  `errors` counts frames that came broken, `lost` those that
    had not left when the function was taken away.
    """

    def __init__(self, cpu: Cpu, base: int, memory: int, own: bytes = OWN) -> None:
        self.cpu, self.base, self.own = cpu, base, own
        self.mailbox = Mailbox(cpu, base)
        self.tx_ring, self.rx_ring = memory, memory + RING_BYTES
        self._tx_buffers = memory + 2 * RING_BYTES
        self._rx_buffers = self._tx_buffers + ENTRIES * BUFFER
        self._next_tx = self._oldest_tx = 0              # frames, counted up
        self._next_rx, self._to_give = 0, 0
        self._poll_wanted = self._link_wanted = False
        self._received: list[bytes] = []
        self.link = False
        self.errors = self.sent = self.lost = 0

    def init(self) -> Steps[None]:
        """Bring the function up; a generator.  Interrupts must be connected.  `DriverError` if the host doesn't answer."""
        yield from self._reset(self.own)
        self.cpu.write(self.tx_ring, bytes(RING_BYTES))
        self.cpu.write(self.rx_ring, b"".join(self._fresh(n) for n in range(ENTRIES)))
        yield from self._open()
        yield from self.cpu.pay()

    def _fresh(self, entry: int) -> bytes:
        return d.RX_READ.pack(packet=self._rx_buffers + entry * BUFFER)

    # Out.

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return self._next_tx - self._oldest_tx

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Send a frame, and tell the card at once, whether `more` follow or not; False if the ring is full.

        `DriverError` for one that is too long, or is none.
        """
        if not HEADER <= len(frame) <= longest(frame):
            raise DriverError(f"82576 VF: a frame of {len(frame)} bytes; {HEADER} to {longest(frame)}")
        if self.pending >= ENTRIES - TX_FREE:
            return False
        at = self._next_tx % ENTRIES
        buffer = self._tx_buffers + at * BUFFER
        self.cpu.write(buffer, frame)
        self.cpu.write(self.tx_ring + at * d.BYTES, d.TX_DATA.pack(
            address=buffer, command=COMMAND | len(frame), status=len(frame) << d.PAYLOAD_SHIFT))
        self._next_tx += 1
        self.sent += 1
        self.write(r.TX + r.TAIL, self._next_tx % ENTRIES)
        return True

    def tx_interrupt(self, cpu: Cpu) -> None:
        """The handler of vector 0: see what has left, and let the next interrupt come."""
        while self._oldest_tx != self._next_tx:
            at = self.tx_ring + self._oldest_tx % ENTRIES * d.BYTES + d.STATUS_AT
            if not self.cpu.load(at, 4) & d.DONE:
                break
            self._oldest_tx += 1
        self.write(r.EIMS, 1 << TX_VECTOR)

    # In.

    def rx_interrupt(self, cpu: Cpu) -> None:
        """The handler of vector 1: ask for a poll."""
        self._poll_wanted = True

    def other_interrupt(self, cpu: Cpu) -> None:
        """The handler of vector 2: the physical function has said something; look at the link soon."""
        self._link_wanted = True
        self.write(r.EIMS, 1 << OTHER_VECTOR)

    def _poll(self) -> None:
        """Take what has come, until nothing more does; then interrupts may come again."""
        self._poll_wanted = False
        while self._take_some() == BUDGET:
            pass
        self.write(r.EIMS, 1 << RX_VECTOR)

    def _take_some(self, give: bool = True) -> int:
        """Take at most `BUDGET` frames, and, if told so, `give` their buffers back; returns how many."""
        taken = 0
        while taken < BUDGET:
            at = self.rx_ring + self._next_rx * d.BYTES
            written = d.RX_WRITTEN.parse(self.cpu.read(at, d.BYTES))
            if not written.status & d.DONE:
                break
            if written.status & d.END and HEADER <= written.length <= BUFFER:
                self._received.append(self.cpu.read(self._rx_buffers + self._next_rx * BUFFER, written.length))
            else:
                self.errors += 1
            self.cpu.write(at, self._fresh(self._next_rx))
            self._next_rx = (self._next_rx + 1) % ENTRIES
            taken += 1
            self._to_give += 1
            if give and self._to_give == GIVE:
                self._give()
        if give and self._to_give:
            self._give()
        return taken

    def _give(self) -> None:
        """The doorbell of the receive queue; one descriptor stays ours, or a full ring would look like an empty one."""
        self._to_give = 0
        self.write(r.RX + r.TAIL, (self._next_rx - 2) % ENTRIES)

    @property
    def waiting(self) -> bool:
        """Whether there is something to reap, or to poll for."""
        return self._poll_wanted or bool(self._received)

    def work(self) -> None:
        """Do what interrupts have asked for: a look at the link, a poll."""
        if self._link_wanted:
            self._link_wanted = False
            self._look_at_link()
        if self._poll_wanted:
            self._poll()

    def drain(self) -> Steps[None]:
        """Wait until all frames have left; a generator."""
        while self.pending:
            yield from self.cpu.hlt(watchdog_ns=WATCH_NS)

    def stop(self) -> None:
        """No more frames and interrupts; what has come by now is taken."""
        for ring in (r.RX, r.TX):
            self.write(ring + r.CONTROL, self.read(ring + r.CONTROL) & ~r.ENABLE)
        self.write(r.EIMC, 0xFFFF_FFFF)
        self.write(r.EIAC, 0)
        self.take_last()

    def lose(self) -> None:
        """The function has been taken away: what it had written is taken, and what had not left is lost."""
        self.take_last()
        self.lost += self.pending
        self._oldest_tx = self._next_tx

    def take_last(self) -> None:
        """The function has gone, its registers too; what it had written into memory is taken."""
        while self._take_some(give=False):
            pass

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until frames have come, what was sent has left, or the time is `until` (ns): then poll."""
        if not self.waiting:
            left = min(until - self.cpu.now, WATCH_NS)
            if left > 0:
                yield from self.cpu.hlt(watchdog_ns=left)
        self.work()
        yield from self.cpu.pay()

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call."""
        received, self._received = self._received, []
        return received
