"""Time synchronization: the host says what time it is, once to set the guest's clock by, then a sample every five seconds.

A message says the guest's own reference time, too, so that the time it takes to be read is known to the guest.
Public source: Linux drivers/hv/hv_util.c (hv_get_adj_host_time), OpenVMM vm/devices/hyperv_ic/src/timesync.rs.
"""

from datetime import datetime, timedelta, timezone

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.vmbus.bus.messages import TIMESYNC_CLASS
from vmio.vmbus.integration import wire as w
from vmio.vmbus.integration.service import Service

PERIOD_NS = 5_000_000_000
TICK_NS = 100


class TimeSync(Service):
    """`base` is the date (UTC) when the machine's clock reads 0; `told` counts the messages."""

    class_id, kind = TIMESYNC_CLASS, w.TIME
    versions = ((1, 0), (3, 0), (4, 0))
    counts = ("told",)

    def __init__(self, host: Root, guest: Guest, base: datetime, number: int = 1) -> None:
        super().__init__(host, guest, number)
        since_1970 = (base.replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
        self._base = w.TICKS_1970 + since_1970 * (1000 // TICK_NS)
        self.told = 0

    def ready(self) -> None:
        """Let the guest set its clock, and tell it again from time to time."""
        self._tell(w.SYNC)

    def tick(self) -> None:
        """Tell it again."""
        self._tell(w.SAMPLE)

    def _tell(self, flags: int) -> None:
        self.again(PERIOD_NS)
        ns = self.guest.clock.now
        now, reference = ns // TICK_NS, self.guest.reference_time(ns)
        if self.version >= (4, 0):
            body = w.TIME_MESSAGE.pack(host=self._base + now, reference=reference, flags=flags)
        else:
            body = w.OLD_TIME_MESSAGE.pack(host=self._base + now, flags=flags)
        self.told += 1
        self.tell(body)
