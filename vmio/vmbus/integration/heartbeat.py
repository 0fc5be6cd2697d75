"""The heartbeat: every two seconds the host asks whether the guest still answers."""

from vmio.machine.layout import ShortMessage
from vmio.vmbus.bus.messages import HEARTBEAT_CLASS
from vmio.vmbus.integration import wire as w
from vmio.vmbus.integration.service import Answered, Service

PERIOD_NS = 2_000_000_000       # as the guest's driver says that Hyper-V has it (drivers/hv/hv_util.c)


class Heartbeat(Service):
    """`beats` have been answered; `missed` is how many were due since the last answer."""

    class_id, kind = HEARTBEAT_CLASS, w.HEARTBEAT
    versions = ((1, 0), (3, 0))
    counts = ("beats", "missed", "sequence")
    beats = missed = 0
    sequence = 0                # as the guest has sent it back

    def ready(self) -> None:
        """Begin to ask."""
        self.missed = 0
        self.tick()

    def tick(self) -> None:
        """Ask whether it still answers."""
        self.again(PERIOD_NS)
        if self.missed:
            self.missed += 1        # the last one is still without an answer
            return
        self.missed = 1
        self.ask(w.HEARTBEAT_MESSAGE.pack(sequence=self.sequence), self._answered)

    def _answered(self, status: int, body: bytes) -> None:
        try:
            sequence = w.HEARTBEAT_MESSAGE.parse(body).sequence
        except ShortMessage:
            self.refused["short heartbeat"] += 1
            return
        if sequence != self.sequence + 1 & (1 << 64) - 1:
            self.refused["heartbeat out of order"] += 1
            return
        self.sequence, self.missed = sequence, 0
        self.beats += 1

    @property
    def answers(self) -> dict[str, Answered]:
        """See `Service`."""
        return {**super().answers, "beat": self._answered}
