"""What the parts of NetVSC - its queues, its start-up, its further channels - see of the card: what was agreed on, and what all channels share."""

from typing import Protocol

from vmio.drivers.vmbus import GuestChannel, VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout


class SplitCard(Protocol):
    """See `NetVsc`."""

    client: VmBusClient
    channel: GuestChannel
    cpu: VCpu
    ring_kib: int
    batch: int | None
    accelerated: bool
    # Buffers that the host knows: where they lie, how large they are, which sections are free.
    receive_at: int
    receive_bytes: int
    receive_gpadl: int
    send_at: int
    send_bytes: int
    send_gpadl: int
    section_bytes: int
    sections: int
    free_sections: list[int]
    # Agreed on, or said by the card.
    tried: dict[int, bool]
    version: int
    address: bytes
    mtu: int
    speed: int
    up: bool
    max_messages: int
    alignment: int
    max_channels: int
    checksums: bool
    large_send: bool
    serial: int | None
    table: tuple[int, ...]
    # Answers that somebody waits for.
    answer: bytes | None
    replies: dict[int, bytes]
    awaited: int

    def tell(self, message: bytes) -> None:
        """Send an NVSP message that has no answer."""

    def ask(self, message: bytes, layout: Layout) -> Steps[Record]:
        """Send an NVSP message and return its answer as a record of `layout`."""

    def request(self, layout: Layout, answer: Layout, data: bytes = b"", **fields: int) -> Steps[tuple[Record, bytes]]:
        """Send an RNDIS request and return its answer: (record, whole message)."""
