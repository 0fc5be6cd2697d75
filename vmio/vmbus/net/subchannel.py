"""A further channel of a network card: rings of its own for frames both ways, none of the card's start-up."""

from typing import Any

from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import NIC_CLASS
from vmio.vmbus.bus.packets import Packet


class SubChannel(BusDevice):
    """Channel `number`, from 1, of `card` (a `NetVsp`)."""

    class_id = NIC_CLASS

    def __init__(self, card: Any, number: int) -> None:
        super().__init__(card.host, card.guest, card.instance_id)
        self.card, self.number = card, number
        self.batch, self.queue_depth = card.batch, card.queue_depth

    def packet(self, request: Answerable, packet: Packet) -> None:
        """Have the card take it."""
        self.card.packet(request, packet, self.number)

    def failed(self, error: Exception) -> None:
        """Count it, and have the bus close the channel."""
        self.card.corrupt += 1
        super().failed(error)
