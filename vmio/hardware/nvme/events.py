"""Asynchronous events: requests that wait until the controller has something to say.

One event of a type is told; further ones of that type wait until the host has
read the log page that goes with it.  Source: NVMe 1.4, 5.2.
"""

from collections.abc import Callable

from vmio.hardware.nvme.identify import EVENT_REQUESTS
from vmio.hardware.nvme.queues import Request
from vmio.hardware.nvme.wire import EVENT_NOTICE, TOO_MANY_EVENTS, Failed
from vmio.machine.contracts import State

MAX_QUEUED = 64
NAMESPACE_CHANGED, CHANGED_LIST = 0, 4      # information and log page of the notice (figures 150, 199)
WANTS_NAMESPACE = 1 << 8                    # in feature 0Bh: the host wants to hear of it (5.21.1.11)


class Events:
    """Events of one controller; `complete(request)` ends a request that has waited."""

    def __init__(self, complete: Callable[[Request], None]) -> None:
        self.complete = complete
        self.reset()

    def reset(self) -> None:
        """A controller reset forgets requests and events (7.3.2)."""
        self.requests: list[Request] = []
        self.queued: list[tuple[int, int, int]] = []
        self.told = 0
        self.changed = False      # namespace 1 is in the list of those that have changed

    def namespace_changed(self, wanted: int) -> None:
        """Namespace 1 is not what it was: its size, say.  `wanted` is the value of feature 0Bh, which events the host wants."""
        if not self.changed:
            self.changed = True
            if wanted & WANTS_NAMESPACE:
                self.add(EVENT_NOTICE, NAMESPACE_CHANGED, CHANGED_LIST)

    def wait(self, request: Request) -> None:
        """ASYNCHRONOUS EVENT REQUEST: keep it; `Failed` if too many wait."""
        if len(self.requests) >= EVENT_REQUESTS:
            raise Failed(TOO_MANY_EVENTS)
        self.requests.append(request)
        self._tell()

    def add(self, kind: int, information: int, log_page: int) -> None:
        """Something happened: event type, information and the log page to read (figure 146)."""
        if len(self.queued) < MAX_QUEUED:
            self.queued.append((kind, information, log_page))
            self._tell()

    def seen(self, kind: int) -> None:
        """The host read the log page of this type."""
        self.told &= ~(1 << kind)
        self._tell()

    def _tell(self) -> None:
        for event in tuple(self.queued):
            kind, information, log_page = event
            if not self.requests:
                return
            if not self.told >> kind & 1:
                self.queued.remove(event)
                self.told |= 1 << kind
                request = self.requests.pop()
                request.result = log_page << 16 | information << 8 | kind
                self.complete(request)

    def save(self) -> State:
        """Return what happened; the requests are the controller's to save."""
        return {"queued": [list(event) for event in self.queued], "told": self.told, "changed": self.changed}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.queued, self.told = [tuple(event) for event in state["queued"]], state["told"]
        self.changed = state["changed"]
