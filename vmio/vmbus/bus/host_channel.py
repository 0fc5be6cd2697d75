"""One channel as the host sees it: its state, its device, and the host's end of the rings while it is open.

    OFFERED --open--> OPEN --close--> CLOSING --closed--> OFFERED
                       OPEN --fail--> FAILED --close--> CLOSING      the guest wrote nonsense into a ring
    any --rescind--> RESCINDED --release--> GONE                     its relid is free only now

CLOSING lasts as long as the device still uses guest memory.  Public sources:
OpenVMM vm/devices/vmbus/vmbus_server/src/channels.rs (its states), Linux
drivers/hv/channel_mgmt.c (what a guest makes of a rescind).
"""

from enum import Enum

from vmio.machine.window import Window
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.channel import ChannelEnd
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

    def __init__(self, server, relid, device, subchannel=0, primary=None):
        self.server, self.relid, self.device = server, relid, device
        self.subchannel, self.primary = subchannel, primary
        self.state = State.OFFERED
        self.connection_id = relid | m.VMBUS_SINT << 12
        self.announced = False      # the guest has been sent the offer
        self.ring = self.end = self.error = None
        self.user = b""             # what the guest put into its OPENCHANNEL
        self.target_vp = m.NO_INTERRUPTS
        self.signals = 0
        self._draining = self._due = None

    def can(self, event):
        """Is this event possible in this state?"""
        return (self.state, event) in TRANSITIONS

    def step(self, event):
        """Change state; KeyError if it isn't possible, so ask `can` where a guest decides."""
        self.state = TRANSITIONS[self.state, event]

    def message(self):
        """The OFFERCHANNEL."""
        device = self.device
        return m.OFFERCHANNEL.pack(
            interface_type=device.class_id, instance=device.instance_id, relid=self.relid,
            flags=getattr(device, "offer_flags", m.ENUMERATE_DEVICE), user=getattr(device, "offer_user", b""),
            subchannel=self.subchannel, dedicated_interrupt=1, connection_id=self.connection_id)

    def open(self, gpadl, downstream_page, target_vp, user):
        """Map both rings and tell the device.  `RingCorrupt` if the indices are nonsense already; `OpenRefused`."""
        memory, pages = self.server.guest.memory, gpadl.whole_pages
        incoming = RingReader(Window(memory, pages[:downstream_page]))
        outgoing = RingWriter(Window(memory, pages[downstream_page:]))
        self.ring, self.target_vp, self.user = gpadl, target_vp, user
        self.error = None
        self.end = ChannelEnd(outgoing, incoming, self._interrupt)
        try:
            self.device.opened(self.end)
        except (RingCorrupt, OpenRefused):
            self.ring = self.end = None
            raise
        self.server.hypervisor.event_ports[self.connection_id] = self._signalled
        self.step("open")

    def fail(self, error):
        """The guest's ring is corrupt: serve it no more, until the guest closes the channel."""
        if self.can("fail"):
            self.step("fail")
            self.error = error
            self.server.refused[f"channel {self.relid}: {type(error).__name__}"] += 1
            self.stop()

    def stop(self):
        """No more signals either way; the device is told.  Its `closed()` may return an event: then it still drains."""
        if self.end is not None:
            self.server.hypervisor.event_ports.pop(self.connection_id, None)
            self.end = self._due = None
            self._draining = self.device.closed()

    def drained(self):
        """Wait until the device has let go of guest memory: `yield from channel.drained()`."""
        while self._draining is not None:
            yield self._draining
            self._draining = None
        self.ring = None

    @property
    def in_use(self):
        """May the device touch guest memory?"""
        return self.end is not None or self._draining is not None and not self._draining.triggered

    def _interrupt(self):
        """Host to guest: the event flag with our relid."""
        if self.end is not None and self.target_vp != m.NO_INTERRUPTS:
            self.server.hypervisor.synics[self.target_vp].signal(m.VMBUS_SINT, self.relid)

    def _signalled(self, when):
        """Guest to host, at `when` ns.  A signal that has not been noticed yet swallows the next one."""
        self.signals += 1
        if self._due is None or when < self._due:
            self._due = when
            self.server.guest.host.at(when, self._notice)

    def _notice(self, _event):
        self._due = None
        if self.end is not None:
            self.end.interrupted()
            self.device.signalled()
