"""One channel as the host sees it: its state, its device, and the host's end of the rings while it is open.

    OFFERED --open--> OPEN --close--> CLOSING --closed--> OFFERED
                       OPEN --fail--> FAILED --close--> CLOSING      the guest wrote nonsense into a ring
    any --rescind--> RESCINDED --release--> GONE                     its relid is free only now

CLOSING lasts as long as the device still uses guest memory.  Public sources:
OpenVMM vm/devices/vmbus/vmbus_server/src/channels.rs (its states), Linux
drivers/hv/channel_mgmt.c (what a guest makes of a rescind).
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from simpy.events import Event

from vmio.hypervisor.contracts import Steps
from vmio.machine.window import Window
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Offered, Owner
from vmio.vmbus.bus.gpadl import Gpadl
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import RingReader, RingWriter


class OpenRefused(Exception):
    """A device says that it can't be opened."""


class State(str, Enum):
    """States of a channel."""

    OFFERED = "offered"
    OPEN = "open"
    FAILED = "failed"
    CLOSING = "closing"
    RESCINDED = "rescinded"
    GONE = "gone"


TRANSITIONS = {
    (State.OFFERED, "open"): State.OPEN, (State.OPEN, "close"): State.CLOSING, (State.CLOSING, "closed"): State.OFFERED,
    (State.OPEN, "fail"): State.FAILED, (State.FAILED, "close"): State.CLOSING,
    (State.OFFERED, "rescind"): State.RESCINDED, (State.OPEN, "rescind"): State.RESCINDED,
    (State.FAILED, "rescind"): State.RESCINDED, (State.CLOSING, "rescind"): State.RESCINDED,
    (State.RESCINDED, "release"): State.GONE,
}


class HostChannel:
    """Made by `VmbusServer.offer`.  `error` is the reason of a FAILED channel; `signals` counts the guest's."""

    def __init__(self, server: Owner, relid: int, device: Offered, subchannel: int = 0,
                 primary: "HostChannel | None" = None) -> None:
        self.server, self.relid, self.device = server, relid, device
        self.subchannel, self.primary = subchannel, primary
        self.state = State.OFFERED
        self.connection_id = relid | m.VMBUS_SINT << 12
        self.latency = getattr(device, "monitor_latency", None)
        self.monitor_id: int | None = None    # of its bit in the monitor page, since it was offered with one
        self.announced = False      # the guest has been sent the offer
        self.ring: Gpadl | None = None
        self.end: ChannelEnd | None = None
        self.error: Exception | None = None
        self.user = b""             # what the guest put into its OPENCHANNEL
        self.target_vp = m.NO_INTERRUPTS
        self.signals = 0
        self.on_released: Callable[[], None] | None = None      # told when its relid is free again
        self._draining: Event | None = None
        self._due: int | None = None

    def can(self, event: str) -> bool:
        """Is this event possible in this state?"""
        return (self.state, event) in TRANSITIONS

    def step(self, event: str) -> None:
        """Change state; KeyError if it isn't possible, so ask `can` where a guest decides."""
        self.state = TRANSITIONS[self.state, event]

    def message(self) -> bytes:
        """Return the OFFERCHANNEL."""
        device = self.device
        return m.OFFERCHANNEL.pack(
            interface_type=device.class_id, instance=device.instance_id, relid=self.relid,
            flags=getattr(device, "offer_flags", m.ENUMERATE_DEVICE), user=getattr(device, "offer_user", b""),
            subchannel=self.subchannel, dedicated_interrupt=1, connection_id=self.connection_id,
            monitor_id=self.monitor_id or 0, monitor_allocated=int(self.monitor_id is not None))

    def open(self, gpadl: Gpadl, downstream_page: int, target_vp: int, user: bytes) -> None:
        """Map both rings and tell the device.  `RingCorrupt` if the indices are nonsense already; `OpenRefused`."""
        self.target_vp, self.user, self.error = target_vp, user, None
        end = self.open_rings(gpadl, downstream_page)
        try:
            self.device.opened(end)
        except (RingCorrupt, OpenRefused):
            self.ring = self.end = None
            del self.server.hypervisor.event_ports[self.connection_id]
            raise
        self.step("open")

    def open_rings(self, gpadl: Gpadl, downstream_page: int) -> ChannelEnd:
        """Map both rings; returns the host's end of them, for the device."""
        memory = self.server.guest.seen
        pages: Any = gpadl.whole_pages          # the bus has seen that it is such a one
        incoming = RingReader(Window(memory, pages[:downstream_page]))
        outgoing = RingWriter(Window(memory, pages[downstream_page:]))
        self.ring, self.end = gpadl, ChannelEnd(outgoing, incoming, self._interrupt)
        self.server.hypervisor.event_ports[self.connection_id] = self._signalled
        return self.end

    def fail(self, error: Exception) -> None:
        """The guest's ring is corrupt: serve it no more, until the guest closes the channel."""
        if self.can("fail"):
            self.step("fail")
            self.error = error
            self.server.refused[f"channel {self.relid}: {type(error).__name__}"] += 1
            self.stop()

    def stop(self) -> None:
        """No more signals either way; the device is told.  Its `closed()` may return an event: then it still drains."""
        if self.end is not None:
            self.server.hypervisor.event_ports.pop(self.connection_id, None)
            self.end = self._due = None
            self._draining = self.device.closed()

    def drained(self) -> Steps[None]:
        """Wait until the device has let go of guest memory: `yield from channel.drained()`."""
        while self._draining is not None:
            yield self._draining
            self._draining = None
        self.ring = None

    @property
    def in_use(self) -> bool:
        """May the device touch guest memory?"""
        return self.end is not None or self._draining is not None and not self._draining.triggered

    def _interrupt(self) -> None:
        """Host to guest: the event flag with our relid."""
        if self.end is not None and self.target_vp != m.NO_INTERRUPTS:
            self.server.hypervisor.synics[self.target_vp].signal(m.VMBUS_SINT, self.relid)

    def _signalled(self, when: int) -> None:
        """Guest to host, at `when` ns.  A signal that has not been noticed yet swallows the next one."""
        self.signals += 1
        if self._due is None or when < self._due:
            self._due = when
            env = self.server.guest.host.env
            env.timeout(max(0, when - env.now)).callbacks.append(self._notice)

    def _notice(self, _event: Event) -> None:
        self._due = None
        if self.end is not None:
            self.end.interrupted()
