"""What the integration services share: versions are agreed on when the guest opens the channel, then one request at a time.

    class Clock(Service):
        class_id, kind, versions = TIMESYNC_CLASS, wire.TIME, ((4, 0),)

        def ready(self):                        # the versions are known
            self.ask(..., self.told)

Nothing a guest writes raises: what is no answer is counted in `refused`, and the service goes on.
Public sources: Linux drivers/hv/channel_mgmt.c (vmbus_prep_negotiate_resp), OpenVMM vm/devices/hyperv_ic/src/common.rs.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.machine.clock import Timer
from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.packets import PIPE, Packet
from vmio.vmbus.integration import wire as w

Version = tuple[int, int]
Answered = Callable[[int, bytes], None]         # (status, what the guest has sent back)
ZERO: Version = (0, 0)
MOST = 64               # requests that wait


class Request(NamedTuple):
    """What was asked, and who is told the answer."""

    kind: int
    body: bytes
    answered: Answered


def nobody(status: int, body: bytes) -> None:
    """For a request whose answer nobody waits for."""


class Service(BusDevice):
    """One service of one guest.  `kind` is the type of its messages, `versions` those that it speaks, the oldest first.

    `counts` names what a service counts or numbers by itself, and `answers` who hears its own requests' answers: a checkpoint has these.
    """

    kind: int
    versions: Sequence[Version]
    counts: Sequence[str] = ()
    guest: Guest
    timer: Timer | None = None      # of one that does something from time to time, while it is up
    offer_flags, offer_user = w.OFFER_FLAGS, w.MESSAGE_MODE

    def __init__(self, host: Root, guest: Guest, number: int = 1) -> None:
        super().__init__(host, guest, b"ic" + self.kind.to_bytes(2, "little") + number.to_bytes(2, "little") + b"vmio-serv\0")
        self.refused: Counter[str] = Counter()
        self._forget()

    def _forget(self) -> None:
        self.framework = self.version = ZERO        # as agreed on, while it is `up`
        self.up = False
        self._waiting: deque[Request] = deque()
        self._asked: Request | None = None

    # The channel.

    def opened(self, end: ChannelEnd) -> None:
        """The guest has loaded its half: ask which versions it speaks."""
        self._forget()
        super().opened(end)
        versions = b"".join(w.VERSION.pack(major=major, minor=minor) for major, minor in (*w.FRAMEWORKS, *self.versions))
        body = w.VERSIONS.pack(frameworks=len(w.FRAMEWORKS), messages=len(self.versions), versions=versions)
        self._send(Request(w.NEGOTIATE, body, self._agreed))

    def closed(self) -> None:
        """The guest's half has gone; nobody hears of what was asked."""
        super().closed()
        self._forget()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _agreed(self, status: int, body: bytes) -> None:
        """The guest has chosen one of each, or none."""
        try:
            record = w.VERSIONS.parse(body)
            framework, version = (tuple(w.VERSION.parse(record.versions, n * w.VERSION.size)) for n in range(2))
        except ShortMessage:
            self.refused["short versions"] += 1
            return
        if (record.frameworks, record.messages) != (1, 1) or framework not in w.FRAMEWORKS or version not in self.versions:
            self.refused["no version in common"] += 1
            return
        self.framework, self.version, self.up = framework, version, True
        self.ready()

    def ready(self) -> None:
        """The guest answers from now on."""

    def again(self, after_ns: int) -> None:
        """Call `tick` after so much of the guest's time."""
        self.timer = self.guest.clock.call_later(after_ns, self.tick)

    def tick(self) -> None:
        """The time has come that `again` has set."""

    # Requests.

    @property
    def answers(self) -> dict[str, Answered]:
        """Who hears an answer, by the name that a checkpoint has for it."""
        return {"versions": self._agreed, "nobody": nobody}

    def ask(self, body: bytes, answered: Answered) -> bool:
        """Ask the guest, after what was asked before; False, and nothing is asked, if its half is not `up` or too much waits."""
        if not self.up or len(self._waiting) >= MOST:
            return False
        request = Request(self.kind, body, answered)
        if self._asked is None:
            self._send(request)
        else:
            self._waiting.append(request)
        return True

    def tell(self, body: bytes) -> None:
        """Tell the guest something; no answer is waited for."""
        self.post(self._message(self.kind, body, 0))

    def _send(self, request: Request) -> None:
        self._asked = request
        self.post(self._message(request.kind, request.body, w.TRANSACTION | w.REQUEST))

    def _message(self, kind: int, body: bytes, flags: int) -> bytes:
        header = w.HEADER.pack(framework_major=self.framework[0], framework_minor=self.framework[1], kind=kind, major=self.version[0],
                               minor=self.version[1], size=len(body), flags=flags)
        return PIPE.pack(size=len(header) + len(body)) + header + body

    def packet(self, request: Answerable, packet: Packet) -> None:
        """An answer, which needs none itself."""
        request.end()
        asked = self._asked
        try:
            header = w.HEADER.parse(packet.payload, PIPE.size)
        except ShortMessage:
            self.refused["short message"] += 1
            return
        body = packet.payload[w.HEADS:w.HEADS + header.size]
        if not header.flags & w.RESPONSE or len(body) < header.size:
            self.refused["no answer"] += 1
        elif asked is None or header.kind != asked.kind:
            if header.kind != self.kind or header.flags & w.REQUEST:
                self.refused["answer that nobody waits for"] += 1
        else:
            self._asked = None
            asked.answered(header.status, body)
            if self._asked is None and self._waiting:
                self._send(self._waiting.popleft())
