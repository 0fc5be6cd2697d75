"""How the driver of an 82576's virtual function begins: reset, who am I, groups, queues, interrupts, access by access as Linux does it.

Source: Linux, drivers/net/ethernet/intel/igbvf/netdev.c (igbvf_probe, igbvf_open, igbvf_configure_tx, igbvf_configure_rx,
igbvf_configure_msix, igbvf_watchdog_task), vf.c.
"""

from collections.abc import Iterable

from vmio.drivers.errors import DriverError
from vmio.drivers.igbvf_mailbox import Mailbox
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.descriptors import BYTES
from vmio.hypervisor.contracts import Cpu, Steps
from vmio.machine.net.frames import FCS, MAX, TAG

RESET, SET_MAC, MULTICAST, LONGEST = 1, 2, 3, 5          # messages
CLEAR_FILTERS = 1 << 16                                  # of SET_MAC
NACK, CTS = 1 << 30, 1 << 29
MAIL_WORDS = 16
ENTRIES = 1024                                           # of each ring
TX_VECTOR, RX_VECTOR, OTHER_VECTOR = 0, 1, 2
ALL_VECTORS = 7
SLOWEST = 488                                            # EITR: about 8,000 interrupts a second
SRRCTL = 0x8200_0002                                     # drop, advanced descriptors with one buffer, of 2 KiB
THRESHOLDS = 0x1_0810                                    # RXDCTL: prefetch 16, host 8, write back 1
NO_RELAXED = 0x2A00 & ~0x0800                            # DCA_TXCTRL: head write-back in order
STATISTICS = (r.RX_FRAMES, r.RX_BYTES, r.TX_FRAMES, r.TX_BYTES, r.RX_GROUP, r.LOOP_TX_BYTES, r.LOOP_TX_FRAMES, r.LOOP_RX_BYTES,
              r.LOOP_RX_FRAMES)
RESET_POLLS, RESET_POLL_NS = 200, 5_000
ALL_STATIONS = (bytes.fromhex("333300000001"), bytes.fromhex("01005e000001"))       # groups that every host is in


def group_hash(address: bytes) -> int:
    """Return the 12 bits of a group's address that the card filters by."""
    return address[4] >> 4 | address[5] << 4


class Start:
    """The part of an `IgbVf` that brings the function up."""

    cpu: Cpu
    base: int
    mailbox: Mailbox
    address: bytes
    tx_ring: int
    rx_ring: int

    def read(self, register: int) -> int:
        """Read a register."""
        return self.cpu.load(self.base + register, 4)

    def write(self, register: int, value: int) -> None:
        """Write one."""
        self.cpu.store(self.base + register, 4, value)

    def _reset(self, own: bytes) -> Steps[None]:
        """Stop, reset, and ask who we are; `own` if the host leaves it to us."""
        self.write(r.EIMC, 0xFFFF_FFFF)
        self.write(r.EIAC, 0)
        self.read(r.STATUS)
        self.write(r.CTRL, self.read(r.CTRL) | r.RESET)
        for _ in range(RESET_POLLS):
            if not self.mailbox.check(r.RESET_NOW | r.RESET_DONE):
                break
            yield from self._pause(RESET_POLL_NS)
        else:
            raise DriverError("82576 VF: the physical function is in reset")
        answer = yield from self.mailbox.ask([RESET], 3)
        if not answer or answer[0] & 0xFFFF != RESET:
            raise DriverError(f"82576 VF: its reset was answered {answer[:1]}")
        self.address = own if answer[0] & NACK else (answer[1] | answer[2] << 32).to_bytes(8, "little")[:6]
        yield from self.mailbox.ask([SET_MAC, *self._address_words()], 3)

    def _pause(self, ns: int) -> Steps[None]:
        self.cpu.compute(ns)
        yield from self.cpu.pay()

    def _address_words(self) -> list[int]:
        return [int.from_bytes(self.address[:4], "little"), int.from_bytes(self.address[4:], "little")]

    def join(self, groups: Iterable[bytes] = ALL_STATIONS) -> Steps[None]:
        """Take frames to these groups; at most 30.  A generator."""
        hashes = [group_hash(each) for each in groups][:30]
        halves = hashes + [0] * (2 * (MAIL_WORDS - 1) - len(hashes))
        words = [low | high << 16 for low, high in zip(halves[::2], halves[1::2])]
        yield from self.mailbox.ask([MULTICAST | len(hashes) << 16, *words], 1)
        yield from self.mailbox.ask([SET_MAC | CLEAR_FILTERS, 0, 0], 3)      # which the physical function refuses, and nobody minds

    def _open(self) -> Steps[None]:
        """Queues with all buffers but one, interrupts, and a look at the link."""
        for ring in (r.TX, r.RX):
            self.write(ring + r.HEAD, 0)
            self.write(ring + r.TAIL, 0)
        yield from self.join()
        self._configure_tx()
        yield from self._configure_rx()
        self._connect_queues()
        self.read(r.EICR)
        for register in (r.EIAC, r.EIAM, r.EIMS):
            self.write(register, ALL_VECTORS)
        self._look_at_link()
        for register in STATISTICS:
            self.read(register)
        self.write(r.EICS, 1 << RX_VECTOR)

    def _configure_tx(self) -> None:
        self.write(r.TX + r.CONTROL, self.read(r.TX + r.CONTROL) & ~r.ENABLE)
        self.write(r.TX + r.LENGTH, ENTRIES * BYTES)
        self.write(r.TX + r.LOW, self.tx_ring & 0xFFFF_FFFF)
        self.write(r.TX + r.HIGH, self.tx_ring >> 32)
        self.write(r.TX + r.HEAD, 0)
        self.write(r.TX + r.TAIL, 0)
        self.write(r.TX + r.DCA, self.read(r.TX + r.DCA) & NO_RELAXED)
        self.write(r.TX + r.CONTROL, r.ENABLE)

    def _configure_rx(self) -> Steps[None]:
        self.write(r.RX + r.SRRCTL, SRRCTL)
        self.write(r.RX + r.CONTROL, self.read(r.RX + r.CONTROL) & ~r.ENABLE)
        self.write(r.RX + r.LOW, self.rx_ring & 0xFFFF_FFFF)
        self.write(r.RX + r.HIGH, self.rx_ring >> 32)
        self.write(r.RX + r.LENGTH, ENTRIES * BYTES)
        self.write(r.RX + r.HEAD, 0)
        self.write(r.RX + r.TAIL, 0)
        yield from self.mailbox.ask([LONGEST, MAX + TAG + FCS], 1)
        self.write(r.RX + r.CONTROL, r.ENABLE | THRESHOLDS)
        self.write(r.RX + r.TAIL, ENTRIES - 2)

    def _connect_queues(self) -> None:
        """Which vector a queue has, and how often it may come."""
        for byte, vector in ((1, TX_VECTOR), (0, RX_VECTOR)):
            entry = self.read(r.IVAR) & ~(0xFF << 8 * byte) | (vector | r.VALID) << 8 * byte
            self.write(r.IVAR, entry)
            self.write(r.EITR + 4 * vector, SLOWEST)
        self.write(r.IVAR_MISC, OTHER_VECTOR | r.VALID)

    def _look_at_link(self) -> None:
        """Is the physical function up, and is there a link?  A message of its that waits is taken."""
        self.mailbox.check(r.RESET_NOW | r.RESET_DONE)
        self.link = bool(self.read(r.STATUS) & r.LINK_UP)
        if self.link:
            self.mailbox.take(1)
