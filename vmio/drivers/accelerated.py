"""A split card and, while there is one, a virtual function with the same address: frames take the faster way, and none is lost on a change.

The order is that of Linux's hv_netvsc: the function is brought up while frames still come by the split card; then the host is asked
for the data path, and only after its answer frames are sent by the function.  When the host wants the function back, the path goes
first, and what the function had still received is taken.  Both ways are listened to all the time.
Left out: Linux's pauses (100 ms before the function is opened), and its second network interface for the function.
Source: Linux, drivers/net/hyperv/netvsc_drv.c (netvsc_vf_join, netvsc_vf_changed, netvsc_unregister_vf).
"""

from vmio.drivers.errors import DriverError
from vmio.drivers.igbvf import MEMORY, IgbVf
from vmio.drivers.netvsc import NetVsc
from vmio.drivers.pages import PAGE, GuestPages
from vmio.drivers.vmbus import GuestChannel
from vmio.drivers.vpci import VpciBus
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.clock import NEVER
from vmio.vmbus.bus.messages import PCI_CLASS
from vmio.vmbus.net import nvsp as n

WATCH_NS = 100_000_000


class Accelerated:
    """`card` is up; `mmio` gives addresses for the function's BARs, `pages` memory for its rings, `vectors` are three interrupts' numbers.

    `by_card` and `by_function` count frames that were sent (`bytes_by_...` their bytes), `lost` those that a function had which was taken away unasked.
    """

    def __init__(self, cpu: VCpu, card: NetVsc, mmio: GuestPages, pages: GuestPages, vectors: tuple[int, int, int]) -> None:
        self.cpu, self.card, self.mmio, self.vectors = cpu, card, mmio, vectors
        self.function: IgbVf | None = None               # while frames go by it
        self.by_card = self.by_function = self.bytes_by_card = self.bytes_by_function = self.lost = 0
        self._memory = pages.take(MEMORY // PAGE)
        self._bus: VpciBus | None = None
        self._offered: list[GuestChannel] = []
        self._received: list[bytes] = []
        card.client.on_offer = self._offer
        for channel in card.client.channels.values():
            self._offer(channel)

    def _offer(self, channel: GuestChannel) -> None:
        """A device was offered: a bus of PCI's, perhaps with our function, unless another driver has it."""
        if channel.offer.interface_type == PCI_CLASS and channel.end is None:
            self._offered.append(channel)

    @property
    def address(self) -> bytes:
        """The card's own, and the function's."""
        return self.card.address

    @property
    def pending(self) -> int:
        """Frames that were accepted and are not known to have left."""
        return self.card.pending + (self.function.pending if self.function is not None else 0)

    def send(self, frame: bytes, more: bool = False) -> bool:
        """Send a frame by the function, or, without one, by the split card; False if there is no room for it now."""
        if self.function is not None:
            sent = self.function.send(frame)
            self.by_function += sent
            self.bytes_by_function += sent * len(frame)
        else:
            sent = self.card.send(frame, more)
            self.by_card += sent
            self.bytes_by_card += sent * len(frame)
        return sent

    def reap(self) -> list[bytes]:
        """Return the frames that have come since the last call, by either way."""
        self._collect()
        received, self._received = self._received, []
        return received

    def _collect(self) -> None:
        """What has come by the split card, then what by the function."""
        self._received += self.card.reap()
        if self.function is not None:
            self._received += self.function.reap()

    def wait(self, until: int = NEVER) -> Steps[None]:
        """Sleep until frames have come, what was sent has left, a function has come or goes, or the time is `until` (ns)."""
        self.card.flush()
        before = self.card.polls
        yield from self.cpu.pay()
        if self.card.polls == before and not self._something and until > self.cpu.now:
            yield from self.cpu.hlt(watchdog_ns=min(until - self.cpu.now, WATCH_NS))
        if self.card.error is not None:
            raise self.card.failure()
        if self.function is not None:
            self.function.work()
        yield from self._follow()

    def _follow(self) -> Steps[None]:
        """Do what the host wants of the function; it may change its mind meanwhile."""
        try:
            if self._bus is None and self._offered and self.card.serial is not None:
                yield from self._join(self._offered.pop(0))
            elif self._bus is not None and self._bus.ejecting and not self._bus.channel.rescinded:
                yield from self._leave(self._bus)
        except DriverError:
            if self._bus is None or not self._bus.channel.rescinded:
                raise
        if self._bus is not None and self._bus.channel.rescinded:
            yield from self._gone(self._bus)

    @property
    def _something(self) -> bool:
        """Whether there is something to do at once."""
        joins = self._bus is None and bool(self._offered) and self.card.serial is not None
        leaves = self._bus is not None and (self._bus.ejecting or self._bus.channel.rescinded)
        return bool(self._received) or self.card.waiting or joins or leaves or self.function is not None and self.function.waiting

    def _join(self, channel: GuestChannel) -> Steps[None]:
        """Bring the function up, then ask for the path."""
        if channel.rescinded:
            yield from self.card.client.release(channel)
            return
        self._bus = bus = VpciBus(self.card.client, channel, self.mmio)
        yield from bus.init()
        found = [each for each in bus.functions if each.identity.serial == self.card.serial]
        if not found:                       # somebody else's device
            yield from bus.close()
            self._bus = None
            return
        found[0].enable()
        function = IgbVf(self.cpu, found[0].bar(0), self._memory, self.address)
        for entry, handler in enumerate((function.tx_interrupt, function.rx_interrupt, function.other_interrupt)):
            yield from found[0].connect(entry, self.vectors[entry], handler)
        yield from function.init()
        while self.card.pending:            # what the split card still has would be overtaken
            yield from self.card.wait()
        yield from self.card.ask(n.DATA_PATH.pack(path=n.VF), n.HEAD)
        self._received += self.card.reap()
        self.function = function

    def _leave(self, bus: VpciBus) -> Steps[None]:
        """The host asks for the function: the path first, then what it has, then the function itself."""
        function = self.function
        if function is not None:
            yield from function.drain()
            yield from self.card.ask(n.DATA_PATH.pack(path=n.SYNTHETIC), n.HEAD)
            function.work()
            function.stop()
            self._received += function.reap()      # before anything that has come by the split card since
            self.function = None
        yield from bus.eject()
        self._bus = None

    def _gone(self, bus: VpciBus) -> Steps[None]:
        """The host has taken the function away, unasked: what is in memory is ours, what it should have sent is lost."""
        if self.function is not None:
            self.function.take_last()
            self._received += self.function.reap()
            self.lost += self.function.pending
            self.function = None
        yield from bus.tidy()
        self._bus = None
