"""A further channel of a SCSI controller: rings of its own, the controller's disks, none of its start-up.

Public source: OpenVMM vm/devices/storage/storvsp (WorkerState::run: a sub-channel waits until
the primary's initialization has ended; WorkerInner::handle_packet: what only index 0 may ask).
"""

from typing import Any

from simpy.events import Event

from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import SCSI_CLASS
from vmio.vmbus.bus.packets import Packet


class SubChannel(BusDevice):
    """Another channel of `controller` (a `StorVsp`), offered by the primary's request."""

    class_id = SCSI_CLASS

    def __init__(self, controller: Any) -> None:
        super().__init__(controller.host, controller.guest, controller.instance_id)
        self.controller = controller
        self.batch, self.queue_depth = controller.batch, controller.queue_depth
        self.monitor_latency = controller.monitor_latency
        self._waits: ChannelEnd | None = None     # open, but the controller is not ready

    def opened(self, end: ChannelEnd) -> None:
        """Serve `end` from when the controller is ready: what comes earlier stays in the ring."""
        if self.controller.ready:
            super().opened(end)
        else:
            self._waits = end

    def begin(self) -> None:
        """The controller is ready: serve, if the guest has opened this channel already."""
        end, self._waits = self._waits, None
        if end is not None:
            super().opened(end)

    def closed(self) -> Event | None:
        """Stop; see `BusDevice`."""
        self._waits = None
        return super().closed()

    def packet(self, request: Answerable, packet: Packet) -> None:
        """Begin one request at the controller; the start-up protocol is the primary channel's alone."""
        self.controller.packet(request, packet, primary=False)

    def failed(self, error: Exception) -> None:
        """Count it, and have the bus close the channel."""
        self.controller.corrupt += 1
        super().failed(error)
