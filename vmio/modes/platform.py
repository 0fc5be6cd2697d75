"""What all devices of a guest share: its host, its VMBus, and the guest's driver for that bus."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from vmio.devices.board import Board
from vmio.drivers import channels
from vmio.drivers.confidential.hardened import Hardened
from vmio.drivers.confidential.swiotlb import Swiotlb
from vmio.drivers.pages import PAGE, GuestPages
from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv import checkpoint as hyperv
from vmio.hypervisor.hyperv import tlfs
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.machine.contracts import Options
from vmio.vmbus.bus import checkpoint as bus
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.contracts import Offered
from vmio.vmbus.bus.server import VmbusServer

PLATFORM = Form("platform", 1, "devices", "board", "hypervisor", "bus")
MMIO = 1 << 36           # guest-physical: where the guest has room for windows and BARs
MMIO_BYTES = 1 << 24
Backend: TypeAlias = Any  # what an attachment's `backends` gives and its own `plug` takes: a slice of a disk, a function, a port
FIRST_SLOT = 3           # of PCI, behind the chip set's
JOIN_NS = 10_000         # between two looks of a further vCPU: has the bus's driver been loaded?


class Platform:
    """A guest before its devices; attachments plug into it.  Host and guest side of the bus are made when first asked for.

    Until then it can be said which versions of VMBus each side has: `host_versions` is what the host speaks, `guest_versions`
    what the guest's driver asks for, in its order, and `bus_kind` a host's half that does not behave as ours.
    """

    def __init__(self, guest: Guest) -> None:
        self.guest, self.host = guest, guest.host
        self.board: Board | None = None      # the emulated PC, from `power_on` on, if a device asks for one
        self._parts: Options | None = None   # arguments of `Board`
        self._slots: list[Callable[[Board, int], None]] = []
        self.mmio = GuestPages(MMIO, MMIO + MMIO_BYTES)
        self._numbers: set[int] = set()     # of the devices on the bus
        self.came_later: set[bytes] = set() # instances of devices that were offered while the guest ran
        self.pool_kib = 0            # of the bounce pool that a confidential guest has
        self.monitored = False       # the guest gives its host monitor pages, for who wants to be signalled by them
        self.host_versions: Sequence[int] = m.LINUX_VERSIONS
        self.guest_versions: Sequence[int] = m.LINUX_VERSIONS
        self.bus_kind: Callable[[Guest, Sequence[int]], VmbusServer] | None = None
        self._server: VmbusServer | None = None
        self._client: VmBusClient | None = None

    def plan_board(self, device: str, **parts: Any) -> None:
        """Ask for a PC's board with these `parts`, arguments of `Board`, for an emulated `device`.

        ValueError for a part that another device asked for already.
        """
        planned = self._parts or {}
        if planned.keys() & parts.keys():
            raise ValueError(f"guest {self.guest.name}: has an emulated {device} already; its board takes one here")
        self._parts = planned | parts

    def plan_slot(self, fill: Callable[[Board, int], None]) -> None:
        """Ask for a PC's board; `fill(board, slot)` puts a PCI function into the next slot that is free."""
        self._parts = self._parts or {}
        self._slots.append(fill)

    def power_on(self) -> None:
        """Build the board, when all devices are plugged in."""
        if self._parts is not None and self.board is None:
            self.board = Board(self.guest, **self._parts)
            for slot, fill in enumerate(self._slots, FIRST_SLOT):
                fill(self.board, slot)

    def enlighten(self, privileges: int = tlfs.PRIVILEGES) -> None:
        """Let the guest know its hypervisor, with these `privileges`; whoever comes first says which."""
        if self.guest.enlightened is None:
            enable_enlightenments(self.guest, privileges=privileges)

    @property
    def bus(self) -> VmbusServer:
        """The host's side of the guest's VMBus (`VmbusServer`); asking for it makes the guest an enlightened one."""
        if self._server is None:
            self.enlighten()
            made = self.bus_kind(self.guest, self.host_versions) if self.bus_kind is not None else VmbusServer(self.guest, self.host_versions)
            self._server = made
        return self._server

    def save(self, saving: Saving) -> State:
        """Return the state of what the guest's devices share."""
        server, known = self._server, self.guest.enlightened
        return PLATFORM.state(
            devices=self.devices, board=None if self.board is None else self.board.save(),
            hypervisor=None if known is None else hyperv.save(known, saving),
            bus=None if server is None else bus.save(server, saving))

    def restore(self, state: State, restoring: Restoring) -> None:
        """Take back what `save` gave; the same devices are plugged in."""
        saved = PLATFORM.take(state)
        same(f"guest {self.guest.name}, devices", saved["devices"], self.devices)
        if self.board is not None:
            self.board.restore(saved["board"])
        if self.guest.enlightened is not None:
            hyperv.restore(self.guest.enlightened, saved["hypervisor"], restoring)
        if self._server is not None:
            bus.restore(self._server, saved["bus"], restoring)

    def timers(self) -> Timers:
        """Return what these have on the guest's clock, as (name, timer) pairs."""
        board = [] if self.board is None else self.board.timers()
        return board if self.guest.enlightened is None else [*board, *hyperv.timers(self.guest.enlightened)]

    def need_pool(self, kib: int) -> None:
        """Let the guest have a bounce pool of so many KiB at least, for a device of a confidential guest; ValueError if it is none."""
        if self.guest.isolation is None:
            raise ValueError(f"guest {self.guest.name}: a confidential device for a guest that is not; say it of one that it begins with")
        self.pool_kib = max(self.pool_kib, kib)

    @property
    def pool(self) -> Swiotlb | None:
        """The guest's bounce pool, if it is a confidential one and its bus is up."""
        return None if self._client is None else self._client.pool

    @property
    def tried(self) -> dict[int, bool]:
        """The versions of VMBus that the guest has asked for so far, in its order, and whether the host agreed."""
        return {} if self._client is None else self._client.tried

    @property
    def channels(self) -> list[GuestChannel]:
        """The channels that the guest's side of the bus knows, in the order of their numbers; none before it has one."""
        return [] if self._client is None else [channel for _, channel in sorted(self._client.channels.items())]

    @property
    def devices(self) -> int:
        """How many there are on the bus."""
        return len(self._numbers)

    def number(self) -> int:
        """Return the number of one more device on the bus, the lowest that is free, from 1: it tells devices of a class apart."""
        number = next(each for each in range(1, len(self._numbers) + 2) if each not in self._numbers)
        self._numbers.add(number)
        return number

    def free_number(self, number: int) -> None:
        """The device is gone, for the host and for the guest: another one may have its number."""
        self._numbers.discard(number)

    def channel(self, cpu: VCpu, pages: GuestPages, device: Offered) -> Steps[tuple]:
        """Generator: the client of the guest's bus and the channel that `device` was offered as.

        The first caller connects, for all.
        """
        client = yield from self.client(cpu, pages)
        return client, self.seen(device)

    def seen(self, device: Offered) -> GuestChannel | None:
        """Return the channel as which the guest's side of the bus knows `device`; None while it does not, or not any more."""
        known = () if self._client is None else self._client.channels.values()
        return next((each for each in known if each.offer.instance == device.instance_id and not each.rescinded), None)

    def abandon(self, channel: GuestChannel) -> Steps[None]:
        """Generator: let go of a channel that was rescinded before its driver was up."""
        if self._client is not None:
            yield from channels.let_go(self._client, channel)

    def sweep(self, driven: set[bytes]) -> Steps[None]:
        """Generator: let go of channels of devices that came later and were rescinded, if no driver of these instances does it."""
        known = [] if self._client is None else list(self._client.channels.values())
        for channel in known:
            if channel.rescinded and not channel.offer.subchannel and channel.offer.instance in self.came_later - driven:
                yield from self.abandon(channel)

    def use_later(self, pages: GuestPages) -> None:
        """From now on the bus's driver, too, takes memory from these pages."""
        if self._client is not None:
            self._client.pages = pages

    def join(self, cpu: VCpu) -> Steps:
        """Generator: a further vCPU comes online on the guest's bus, as soon as the first one has begun with it."""
        while self._client is None:
            yield from cpu.hlt(JOIN_NS)
        self._client.add_cpu(cpu)

    def client(self, cpu: VCpu, pages: GuestPages) -> Steps[VmBusClient]:
        """Generator: the guest's side of its bus, connected, with all that was offered in its `channels`."""
        if self._client is None:
            self._client = client = VmBusClient(cpu, pages, self.guest_versions, self.monitored)
            if isinstance(client.trust, Hardened) and self.pool_kib:
                at = pages.take((self.pool_kib << 10) // PAGE)
                client.pool = Swiotlb(client.trust.sharing, at, self.pool_kib, len(self.guest.vcpus), self.host.costs.copy_rate)
            yield from self._client.connect()
            yield from self._client.request_offers()
        return self._client
