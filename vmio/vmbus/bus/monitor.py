"""Monitor pages: a doorbell without a hypercall.  The guest sets a bit in its own memory, the host looks every now and then.

A guest gives two pages with INITIATE_CONTACT, host->guest and guest->host; an offer may then come
with a monitor id, which stands for one of 128 bits: group id / 32, bit id % 32 of the group's pending
word.  The host looks at the guest->host page once in a channel's latency, takes the bits that are
set and signals their channels, as HvCallSignalEvent would.  No exit, but up to the latency's delay.
The host->guest page is not used (nor is it by OpenVMM): the host has interrupts, which cost it nothing.

Source: Linux include/linux/hyperv.h and drivers/hv/hyperv_vmbus.h (hv_monitor_page), drivers/hv/channel.c
(vmbus_setevent); Microsoft's documentation of HV_MONITOR_PAGE ("suggests how often the hypervisor should
inspect"); OpenVMM vm/vmcore/src/monitor.rs, vm/devices/vmbus/vmbus_server/src/channels.rs.
"""

import struct
from simpy.events import Event

from vmio.hypervisor.guest import Guest
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State
from vmio.machine.memory import PAGE
from vmio.machine.pagetable import READ, WRITE
from vmio.vmbus.bus.host_channel import HostChannel
from vmio.vmbus.bus.monitor_page import GROUP, MONITOR_PAGE, MONITOR_PARAMETER, MONITORS, pending_word

MONITOR = Form("monitor page", 1, "page", "since", "channels", "due", "takes", "signals")
_LATENCY, _PARAMETERS = (MONITOR_PAGE.by_name[name].offset for name in ("latency", "parameters"))
_TRIGGERS = MONITOR_PAGE.by_name["pending0"].offset
_WORDS = struct.Struct("<8I")          # the four groups: pending, armed
_U32, _U16 = struct.Struct("<I"), struct.Struct("<H")


class MonitorPages:
    """The host's side of one guest's.  Of what lies in the page it believes nothing but the pending bits.

    What it writes there - groups in use, latencies, connection ids - is for the guest to read.
    `signals` counts the bits that it has taken.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.page: int | None = None        # the guest->host page, a guest-physical address
        self.since = 0                      # ns: looks are so many whole latencies after it
        self.channels: dict[int, HostChannel] = {}  # monitor id -> channel, as offered since this contact
        self.due: dict[int, int] = {}       # monitor id -> ns at which its bit, seen set, is taken
        self.signals = 0

    def save(self, saving: Saving) -> State:
        """Return where the page is, whose the bits are, and when the host will look."""
        return MONITOR.state(page=self.page, since=self.since, signals=self.signals, due=self.due.items(),
                             channels=[[number, channel.relid] for number, channel in self.channels.items()],
                             takes=saving.calls(self._take))

    def restore(self, state: State, channels: dict[int, HostChannel], restoring: Restoring) -> None:
        """Take back what `save` gave; `channels` are the bus's by relid."""
        saved = MONITOR.take(state)
        self.page, self.since, self.signals = saved["page"], saved["since"], saved["signals"]
        self.due.update(saved["due"])
        for number, relid in saved["channels"]:
            self.channels[number] = channels[relid]
            channels[relid].monitor_id = number
        if self.page is not None:
            self._guest.polled_by = self.look
        for at in saved["takes"]:
            restoring.call(at, self._take)

    def accepts(self, to_guest: int, to_host: int) -> bool:
        """Can these be the pages of a contact: none, or two whole pages of the guest's own RAM?"""
        if to_guest == to_host == 0:
            return True
        covers = self._guest.enlightened.overlays.covers
        return all(page and page % PAGE == 0 and self._guest.backing.spa(page) is not None and not covers(page)
                   for page in (to_guest, to_host))

    def connect(self, to_host: int) -> None:
        """Look at this page from now on; 0: at none."""
        self.disconnect()
        if to_host:
            self.page, self.since = to_host, self._guest.host.env.now
            self._guest.polled_by = self.look

    def disconnect(self) -> None:
        """Forget the pages; they are plain RAM again."""
        self.page = self._guest.polled_by = None
        for channel in self.channels.values():
            channel.monitor_id = None
        self.channels.clear()

    def assign(self, channel: HostChannel) -> None:
        """Give the channel a monitor id, if its device wants one, the guest has given pages, and one is left."""
        if self.page is None or channel.latency is None:
            return
        free = next((n for n in range(MONITORS) if n not in self.channels), None)
        if free is not None:
            self.channels[free] = channel
            channel.monitor_id = free
            self._describe(free, channel.latency, channel.connection_id)

    def release(self, channel: HostChannel) -> None:
        """The channel is gone; its id is free."""
        number, channel.monitor_id = channel.monitor_id, None
        if number is not None:
            del self.channels[number]
            self._describe(number, 0, 0)

    def _describe(self, number: int, latency: int, connection_id: int) -> None:
        at = self._spa()
        if at is None:
            return
        memory, groups = self._guest.host.memory.bytes, {n // GROUP for n in self.channels}
        _U32.pack_into(memory, at, sum(1 << group for group in groups))
        _U16.pack_into(memory, at + _LATENCY + 2 * number, latency)
        parameter = MONITOR_PARAMETER.pack(connection_id=connection_id)
        memory[at + _PARAMETERS + 8 * number:at + _PARAMETERS + 8 * number + len(parameter)] = parameter

    def _spa(self) -> int | None:
        """Where the page is now: the guest may have lost it, keep it private, or have laid something over it, which is not looked at."""
        page, isolation = self.page, self._guest.isolation
        if page is None or isolation is not None and not isolation.may(page // PAGE, READ | WRITE):
            return None
        return self._guest.backing.spa(page)

    # The look.

    def look(self, now: int) -> None:
        """A vCPU, at `now` ns, lets time pass: the next look of each channel whose bit is set will find it.

        Looks that would find nothing are not simulated, so an idle guest's page keeps nobody busy.
        """
        for number in self._pending():
            if number not in self.due:
                latency = self.channels[number].latency
                assert latency is not None         # that is why it has a bit
                period = 100 * latency
                self.due[number] = self.since + ((now - self.since) // period + 1) * period
                self._guest.host.at(self.due[number], self._take)

    def _pending(self) -> list[int]:
        """The monitor ids whose bits are set, of those that are in use."""
        at = self._spa()
        if at is None:
            return []
        words = _WORDS.unpack_from(self._guest.host.memory.bytes, at + _TRIGGERS)[::2]
        return [n for n in self.channels if words[n // GROUP] >> n % GROUP & 1] if any(words) else []

    def _take(self, _event: Event) -> None:
        now = self._guest.host.env.now
        over = [number for number, when in self.due.items() if when <= now]
        pending = set(self._pending())
        for number in over:
            del self.due[number]
            if number in pending:
                self._clear(number)
                self.signals += 1
                port = self._guest.enlightened.event_ports.get(self.channels[number].connection_id)
                if port is not None:       # else the channel is closed
                    port(now)

    def _clear(self, number: int) -> None:
        """LOCK AND: the guest may set other bits of the word at any time."""
        offset, bit = pending_word(number)
        at, memory = self._spa(), self._guest.host.memory.bytes
        assert at is not None
        _U32.pack_into(memory, at + offset, _U32.unpack_from(memory, at + offset)[0] & ~bit)
