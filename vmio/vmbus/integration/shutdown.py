"""The shutdown service: the host asks the operating system to switch itself off, or to begin anew, in order."""

from collections.abc import Callable

from vmio.vmbus.bus.messages import SHUTDOWN_CLASS
from vmio.vmbus.integration import wire as w
from vmio.vmbus.integration.service import Service, nobody


class Shutdown(Service):
    """`off()` asks; what follows is the guest's own way to the power button."""

    class_id, kind = SHUTDOWN_CLASS, w.SHUTDOWN
    versions = ((1, 0), (3, 0), (3, 1), (3, 2))

    def off(self, answered: Callable[[int], None] | None = None, restart: bool = False) -> bool:
        """Ask; `answered(status)` is called when the guest has said whether it will.  False if nobody is there to be asked."""
        body = w.SHUTDOWN_MESSAGE.pack(reason=w.PLANNED, flags=w.RESTART if restart else 0)
        return self.ask(body, nobody if answered is None else lambda status, body: answered(status))
