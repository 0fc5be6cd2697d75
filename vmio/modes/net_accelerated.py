"""Accelerated networking: a split network card, and beside it, when the host wants so, a virtual function with the same address."""

from vmio.drivers.accelerated import Accelerated
from vmio.drivers.igbvf import MEMORY
from vmio.drivers.netvsc import NetVsc
from vmio.drivers.pages import GuestPages
from vmio.host.net.nic import HostNic
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import Form, State
from vmio.machine.net.contracts import NetPort
from vmio.modes.net_assigned import DEVICES, FIRST_VECTOR
from vmio.modes.net_split import SplitNet
from vmio.modes.platform import Platform
from vmio.passthrough import checkpoint as assignment
from vmio.passthrough.assignment import Assignment, assign
from vmio.vmbus.net import nvsp as n

CARD_MEMORY = 8 << 20
ACCELERATED = Form("accelerated network card", 2, "card", "association", "had", "lent")


class AcceleratedNet(SplitNet):
    """`address` is that of both; the rest as `SplitNet`.  `give`, `ask_back` and `take` are the host's, while the guest runs.

    Its backend is the `NetPort` that the host's 82576 is plugged into.
    """

    driver_memory = CARD_MEMORY + (MEMORY + (1 << 20) & -(1 << 20))
    for_each_vcpu = False
    fixed = "its function does, by give and ask_back, and the card stays"

    def plug(self, platform: Platform, backend: NetPort) -> None:
        """Make a card of the host's with one virtual function, which stays the host's, and offer a split card on it."""
        self.nic = HostNic(platform.host, backend, [self.address])
        self.lent: Assignment | None = None
        self.had = False                            # the guest has had the function at some time
        self.nic.driver.park(0, True)
        super().plug(platform, self.nic.port)
        self.vsp.vf.on_path = lambda path: self.nic.driver.park(0, path != n.VF)
        self.number = platform.number()
        self.nic.iommu.enable()

    def give(self) -> None:
        """Give the guest the function; its frames come by it once the guest says so.  ValueError if it has it."""
        function = self.nic.places[0].function
        if self.lent is not None and not self.lent.ended:
            raise ValueError(f"guest {self.platform.guest.name}: it has {function.name} already")
        self.vsp.vf.associate(function.requester)
        self.lent = assign(function, self.platform.guest, self.platform.bus, self.nic.router, number=self.number)
        self.had = True

    def ask_back(self) -> None:
        """Ask the guest for the function; it is taken in a minute at the latest.  Nothing happens without one."""
        if self.lent is not None and not self.lent.ended:
            self.lent.eject(self.vsp.vf.dissociate)

    def take(self) -> None:
        """Take the function away, whatever the guest does with it."""
        self.vsp.vf.dissociate()
        if self.lent is not None:
            self.lent.take_back()

    @property
    def hardware(self) -> HostNic:
        """The host's card, with the function, whoever has that."""
        return self.nic

    def save(self, saving: Saving) -> State:
        """Return the split card's state, and what the guest has made of the function; `CheckpointRefused` while it is asked for it."""
        lent = None if self.lent is None or self.lent.ended else assignment.save(self.lent)
        if lent is not None:
            saving.assigned.add((self.platform.guest.name, self.nic.places[0].function.name))
        return ACCELERATED.state(card=super().save(saving), association=self.vsp.vf.save(), had=self.had, lent=lent)

    def come_again(self, state: State) -> None:
        """Give the guest the function, if it had it, before anything is restored: all the rest is restored into that machine."""
        saved = ACCELERATED.take(state)
        if saved["lent"] is not None:
            self.give()
        elif saved["had"]:
            self.platform.guest.pin_ram()           # which it stays
        self.had = saved["had"]

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`."""
        saved = ACCELERATED.take(state)
        super().restore(saved["card"], restoring, platform)
        self.vsp.vf.restore(saved["association"])
        if self.lent is not None:
            assignment.restore(self.lent, saved["lent"])

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps[Accelerated]:
        """Bring up the bus and the split card; a generator that returns an `Accelerated`."""
        client, channel = yield from self.platform.channel(cpu, pages, self.vsp)
        self.driver = card = NetVsc(client, channel, self.ring_kib, versions=self.asks, batch=self.batch, accelerated=True)
        yield from card.init()
        first = FIRST_VECTOR + self.number - 1
        return Accelerated(cpu, card, self.platform.mmio, pages, (first, first + DEVICES, first + 2 * DEVICES))
