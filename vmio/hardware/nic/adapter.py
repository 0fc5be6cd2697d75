"""The 82576 itself: the physical function's registers, the wire, and the virtual functions that there are.

Of the physical function there is what virtual ones need: mailboxes, the switch's tables, link, interrupts.  Its own queues are left
out: frames for its pool go to `host`, a `Station`, and what the host sends comes by `send_for_host`.
Source: Intel 82576EB data sheet, 7.8 "PCI-SIG Single Root IOV", 8.14 "Virtualization Registers".
"""

from collections.abc import Callable

from vmio.devices.pci.dma import NoMemory
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.interrupts import Interrupts
from vmio.hardware.nic.mailbox import WORDS
from vmio.hardware.nic.mailbox import Mailbox
from vmio.hardware.nic.pools import POOLS, Pools
from vmio.hardware.nic.virtual import DeviceClock, VirtualNic
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.contracts import Memory
from vmio.machine.net import frames, headers
from vmio.machine.net.contracts import NetPort, Station

CARD = Form("82576", 1, "values", "asked", "resets", "cause", "spoofed", "dropped", "interrupts", "functions")
BAR_BYTES = 0x2_0000
VECTORS = 10
EVERYBODY = (1 << POOLS) - 1
TABLES = (*(range(at, at + 8) for at in r.ADDRESSES), range(r.VLVF, r.VLVF + 0x80), range(r.VMOLR, r.VMOLR + 0x20))
KEPT = (range(r.MTA, r.MTA + 0x200), *TABLES, range(r.VMVIR, r.VMVIR + 0x20),
        range(r.DTXSWC, r.DTXSWC + 4), range(r.VT_CTL, r.VT_CTL + 4), range(r.VFRE, r.VFTE + 4), range(r.MBVFIMR, r.MBVFIMR + 4),
        range(r.IVAR_MISC, r.IVAR_MISC + 4), range(r.CTRL_EXT, r.CTRL_EXT + 4), range(r.IMS, r.IMS + 4))


class Adapter82576:
    """A card at `wire` (a `NetPort`).  `new_clock()` gives a clock for each function."""

    POINTS = {"switched": "(pool or None for the wire, frame, pools that it was for as bits, did it go to the wire) after each frame"}
    switched: Callable[[int | None, bytes, int, bool], None] | None = None

    def __init__(self, wire: NetPort, new_clock: Callable[[], DeviceClock]) -> None:
        self.wire, self.new_clock = wire, new_clock
        self.memory: Memory = NoMemory
        self.functions: list[VirtualNic] = []
        self.host: Station | None = None
        self.interrupts = Interrupts(new_clock(), VECTORS)
        self.dropped = {"spoofed": 0, "no wire": 0}
        self._values: dict[int, int] = {}
        self.pools = Pools(self._values)
        self.reset()
        wire.connect(self)

    def reset(self) -> None:
        """The physical function's own reset: as at power-on."""
        self.interrupts.msix.reset()
        self._restart()

    def _restart(self) -> None:
        """CTRL's reset, which PCI's registers survive: switch and mailboxes are as at power-on."""
        self._values.clear()
        self._values.update({r.VFRE: EVERYBODY, r.VFTE: EVERYBODY})
        self._values.update({r.VMOLR + 4 * pool: r.VMOLR_POWER_ON for pool in range(POOLS)})
        self.pools.learn()
        self.interrupts.power_on()
        self._asked = self._resets = self._cause = self._spoofed = 0
        for each in self.functions:
            each.mailbox.reset(done=False)

    def make(self, count: int) -> list[VirtualNic]:
        """Return `count` new virtual functions, which are all that there are now."""
        self.functions = [VirtualNic(self, n, self.new_clock()) for n in range(count)]
        return self.functions

    # Registers.

    def read(self, offset: int, size: int) -> int:
        """Return a register of the physical function; parts of one, and what is not there, read 0."""
        if size != 4 or offset & 3:
            return 0
        if offset == r.STATUS:
            return self.status()
        if offset in (r.ICR, r.WVBR):
            if offset == r.ICR:
                value, self._cause = self._cause, 0
            else:
                value, self._spoofed = self._spoofed, 0
            return value
        if offset == r.MBVFICR:
            return self._asked
        if offset == r.VFLRE:
            return self._resets
        found = self._mailbox(offset)
        if found is not None:
            mailbox, word = found
            return mailbox.read_pf() if word is None else mailbox.words[word]
        return self._values[offset] if offset in self._values else self.interrupts.read(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write one; parts of one, and what is not there, take nothing."""
        if size != 4 or offset & 3:
            return
        found = self._mailbox(offset)
        if found is not None:
            mailbox, word = found
            if word is None:
                mailbox.write_pf(value)
            else:
                mailbox.words[word] = value
        elif offset == r.MBVFICR:
            self._asked &= ~value
        elif offset == r.VFLRE:
            self._resets &= ~value
        elif offset == r.CTRL:
            if value & r.RESET:
                self._restart()
        elif offset == r.IMC:
            self._values[r.IMS] = self._values.get(r.IMS, 0) & ~value
        elif any(offset in each for each in KEPT):
            self._keep(offset, value)
        else:
            self.interrupts.write(offset, value)

    def _keep(self, offset: int, value: int) -> None:
        """A register that holds what is written: a table of the switch's, or who may do what."""
        self._values[offset] = value | self._values.get(offset, 0) if offset == r.IMS else value
        if any(offset in each for each in TABLES):
            self.pools.learn()
        elif offset == r.VFTE:
            for each in self.functions:
                each.go()
        elif offset == r.CTRL_EXT and value & r.RESET_IS_DONE:
            for each in self.functions:
                each.mailbox.reset(done=True)

    def _mailbox(self, offset: int) -> tuple[Mailbox, int | None] | None:
        """(mailbox, its word or None for P2V) of a register, or None."""
        if r.MAIL <= offset < r.MAIL + 0x40 * POOLS:
            pool, word = divmod(offset - r.MAIL >> 2, WORDS)
        elif r.P2V <= offset < r.P2V + 4 * POOLS:
            pool, word = offset - r.P2V >> 2, None
        else:
            return None
        return (self.functions[pool].mailbox, word) if pool < len(self.functions) else None

    def status(self) -> int:
        """Return STATUS: link, speed, how many virtual functions."""
        count = len(self.functions)
        return (r.ALWAYS | r.GIGABIT | r.FULL_DUPLEX | (r.LINK_UP if self.wire.up else 0)
                | (r.VIRTUALIZED | count << r.VF_COUNT_SHIFT if count else 0))

    # What virtual functions ask for.

    def may_send(self, pool: int) -> bool:
        """See `virtual.Adapter`."""
        return bool(self._values[r.VFTE] >> pool & 1)

    def mail(self, pool: int, asked: int) -> None:
        """See `virtual.Adapter`."""
        self._asked |= asked << pool
        if self._values.get(r.MBVFIMR, 0) >> pool & 1:
            self._raise(r.MAILBOX)

    def virtual_reset(self, pool: int) -> None:
        """See `virtual.Adapter`: it may neither send nor receive until the physical function's driver lets it."""
        bit = 1 << pool
        self._values[r.VFRE] &= ~bit
        self._values[r.VFTE] &= ~bit
        self._resets |= bit
        self._raise(r.MAILBOX)

    def _raise(self, cause: int) -> None:
        self._cause |= cause
        if cause & self._values.get(r.IMS, 0):
            entry = self._values.get(r.IVAR_MISC, 0) >> r.OTHER_SHIFT
            if entry & r.VALID:
                self.interrupts.raise_causes(1 << (entry & 0xF))

    # Frames.

    def transmit(self, pool: int, frame: bytes) -> bool:
        """A pool sends: is it allowed, and is the frame for a neighbour, for the wire, or for both?  False: nobody has taken it."""
        values = self._values
        rule = values.get(r.VMVIR + 4 * pool, 0)
        if rule & r.ALWAYS_INSERT:
            frame = headers.tag(frame, rule & 0xFFF, rule >> 13 & 7)
        if self.pools.spoofs(pool, frame):
            self._spoofed |= 1 << pool
            self.dropped["spoofed"] += 1
            return False
        inside = self.pools.wanted(frame, wire=False) & ~(1 << pool) if values.get(r.DTXSWC, 0) & r.LOOPBACK else 0
        outside = frames.is_group(frame) or not inside
        taken = False
        if inside:
            taken = self._deliver(frame, inside, looped=True)
            if pool < len(self.functions):
                self.functions[pool].looped(frame)
        if outside and len(frame) <= frames.longest(frame):
            sent = self.wire.send(frame)
            self.dropped["no wire"] += not sent
            taken |= sent
        if self.switched is not None:
            self.switched(pool, frame, inside, outside)
        return taken

    def send_for_host(self, frame: bytes) -> bool:
        """Return whether anybody has taken a frame of the host's, which its physical function would have sent."""
        return self.transmit(self.pools.default, frame)

    def receive(self, frame: bytes) -> bool:
        """See `Station`: a frame from the wire."""
        pools = self.pools.wanted(frame, wire=True)
        taken = self._deliver(frame, pools, looped=False)
        if self.switched is not None:
            self.switched(None, frame, pools, False)
        return taken or not pools

    def _deliver(self, frame: bytes, pools: int, looped: bool) -> bool:
        """Give a frame to each of these pools; returns whether one has taken it."""
        taken = False
        for pool in range(POOLS):
            if not pools >> pool & 1:
                continue
            whole, vlan = frame, None
            if self.pools.strips >> pool & 1:
                whole, vlan, _ = headers.untag(frame)
            if pool < len(self.functions):
                taken |= self.functions[pool].receive(whole, vlan, looped)
            elif pool == self.pools.default and self.host is not None:
                taken |= self.host.receive(whole)
        return taken

    def link_changed(self, up: bool) -> None:
        """See `Station`."""
        if self.host is not None:
            self.host.link_changed(up)
        self._raise(r.LINK_CHANGED)

    # Checkpoint.

    def save(self) -> State:
        """Return the switch's tables, all registers, and each virtual function."""
        return CARD.state(values=[[at, value] for at, value in self._values.items()], asked=self._asked, resets=self._resets, cause=self._cause,
                          spoofed=self._spoofed, dropped=self.dropped, interrupts=self.interrupts.save(), functions=[each.save() for each in self.functions])

    def restore(self, state: State) -> None:
        """Take back what `save` gave, of as many functions; the clocks then get the timers."""
        saved = CARD.take(state)
        same("82576, counts of what was dropped", sorted(saved["dropped"]), sorted(self.dropped))
        self._values.clear()
        self._values.update({at: value for at, value in saved["values"]})
        self.pools.learn()
        self._asked, self._resets, self._cause, self._spoofed = (saved[name] for name in ("asked", "resets", "cause", "spoofed"))
        self.dropped = dict(saved["dropped"])
        self.interrupts.restore(saved["interrupts"])
        for function, each in zip(self.functions, saved["functions"], strict=True):
            function.restore(each)
