"""The accelerator's VSP: takes a guest's messages, copies its command buffers, and hands the copies to the host's service.

It never looks twice: a command buffer lies in memory that the guest may write at any time, so it is copied once, and the copy is
what the service checks, changes and runs.
"""

from collections.abc import Callable
from typing import Protocol

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.layout import ShortMessage
from vmio.machine.window import Window
from vmio.vmbus.accelerator import wire as w
from vmio.vmbus.accelerator.wire import Message, Status
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.gpadl import Gpadl, GpadlRefused
from vmio.vmbus.bus.packets import Packet, RingCorrupt

INSTANCE_BYTES = 16


class Refusal(Exception):
    """The service does not run these commands: the one at `at` can't be let through, `words` say why."""

    def __init__(self, at: int, words: str) -> None:
        super().__init__(f"command {at}: {words}")
        self.at = at


class Service(Protocol):
    """Who owns the device, for one guest."""

    lanes: int
    sram_bytes: int
    command_bytes: int

    def submit(self, commands: bytes, memory: "dict[int, Window]", done: Callable[[int], None]) -> None:
        """Check these commands and run them; `done(error)` when they are over, 0 for none.  `Refusal`: nothing is run."""

    def forget(self) -> None:
        """End all that is under way for this guest, at once: when this returns, its memory is no longer touched."""


class AcceleratorVsp(BusDevice):
    """The accelerator of one guest; `service` is its `Service`.  `refused` counts command buffers that were not let through."""

    POINTS = {"copied": "(bytes) of a command buffer, before anybody looks at it"}
    copied: Callable[[bytes], None] | None = None
    class_id = w.CLASS_ID

    def __init__(self, host: Root, guest: Guest, service: Service, number: int = 1) -> None:
        super().__init__(host, guest, number.to_bytes(INSTANCE_BYTES, "little"))
        self.service, self.refused = service, 0
        self._begin()

    def _begin(self) -> None:
        self.version = 0
        self.mapped: dict[int, Window] = {}     # GPADL handle -> its pages

    def opened(self, end: ChannelEnd) -> None:
        """The guest has opened the channel: nothing is agreed, no memory is named."""
        self._begin()
        super().opened(end)

    def closed(self) -> Event | None:
        """The guest has closed it, or is gone: the service lets go of its memory."""
        self._begin()
        self.service.forget()
        return super().closed()

    def torn_down(self, gpadl: Gpadl) -> None:
        """The guest takes memory back, which it may have forgotten to unmap."""
        self._unmap(gpadl.handle)

    def packet(self, request: Answerable, packet: Packet) -> None:
        """See `BusDevice`.  A message that is none ends the channel."""
        try:
            kind = w.HEADER.parse(packet.payload).type
            if kind not in w.LAYOUTS:
                raise RingCorrupt(f"accelerator: message of type {kind}")
            message = w.LAYOUTS[Message(kind)].parse(packet.payload)
        except ShortMessage as error:
            raise RingCorrupt(f"accelerator: {error}") from None

        def answer(status: Status, error: int = 0, at: int = 0) -> None:
            request.complete(w.ANSWER.pack(type=kind, status=status, error=error, at=at), packet.transaction_id)

        if kind == Message.VERSION:
            self.version = w.VERSION_1 if message.version >= w.VERSION_1 else 0
            request.complete(w.CAPABILITIES.pack(
                status=Status.SUCCESS if self.version else Status.NOT_NOW, version=w.VERSION_1, lanes=self.service.lanes,
                sram_bytes=self.service.sram_bytes, max_commands=w.MAX_COMMANDS), packet.transaction_id)
        elif not self.version:
            answer(Status.NOT_NOW)
        elif kind == Message.MAP:
            answer(Status.SUCCESS if self._map(message.gpadl) else Status.NO_MEMORY)
        elif kind == Message.UNMAP:
            answer(Status.SUCCESS if self._unmap(message.gpadl) else Status.NO_MEMORY)
        else:
            self._submit(message.gpadl, message.offset, message.commands, answer)

    def _map(self, handle: int) -> bool:
        """Know the guest's memory by this name, if it is a GPADL of this channel, of whole pages, and its own now."""
        server, channel = self.server, self.channel
        gpadl = None if server is None else server.gpadls.by_handle.get(handle)
        if server is None or channel is None or gpadl is None or gpadl.relid != channel.relid or gpadl.whole_pages is None:
            return False
        if handle in self.mapped or len(self.mapped) >= w.MAX_MAPPED or self.guest is None:
            return False
        try:
            server.gpadls.check(gpadl.whole_pages)
        except GpadlRefused:
            return False
        self.mapped[handle] = Window(self.guest.seen, gpadl.whole_pages)
        return True

    def _unmap(self, handle: int) -> bool:
        """Know the memory by this name no more; False if nobody did.  What is under way is ended: its commands have been looked at already."""
        if self.mapped.pop(handle, None) is None:
            return False
        self.service.forget()
        return True

    def _submit(self, handle: int, offset: int, number: int, answer: Callable[..., None]) -> None:
        """Copy the command buffer, once, and let the service have it."""
        window, length = self.mapped.get(handle), number * self.service.command_bytes
        if window is None or not 1 <= number <= w.MAX_COMMANDS or offset + length > window.size:
            answer(Status.NO_MEMORY)
            return

        def done(error: int) -> None:
            answer(Status.FAILED if error else Status.SUCCESS, error)
        try:
            commands = self._copied(window, offset, length)
            if self.copied is not None:
                self.copied(commands)
            self.service.submit(commands, dict(self.mapped), done)
        except Refusal as refusal:
            self.refused += 1
            answer(Status.REFUSED, at=refusal.at)

    @staticmethod
    def _copied(window: Window, offset: int, length: int) -> bytes:
        """The private copy."""
        return window.read(offset, length)
