"""The devices that a hardened guest takes from its host: those whose drivers were checked line by line, and no others.

The table is Linux 6.1's, drivers/hv/channel_mgmt.c (vmbus_devs, allowed_in_isolated; vmbus_is_valid_offer).  Each driver that is
loaded reads what the host wrote, so the fewer the better.  Later kernels allow virtual PCI, too.
"""

from typing import NamedTuple

from vmio.machine.layout import guid_bytes
from vmio.vmbus.bus import messages as m


class Device(NamedTuple):
    """A row: Linux's name of the kind, its class (None for all that are unknown), and whether a confidential guest takes it."""

    name: str
    class_id: bytes | None
    allowed: bool


DEVICES = (
    Device("IDE", m.IDE_CLASS, False),
    Device("SCSI", m.SCSI_CLASS, True),
    Device("Fibre Channel", guid_bytes("2f9bcc4a-0069-4af3-b76b-6fd0be528cda"), False),
    Device("synthetic NIC", m.NIC_CLASS, True),
    Device("Network Direct", guid_bytes("8c2eaf3d-32a7-4b09-ab99-bd1f1c86b501"), False),
    Device("PCI Express", m.PCI_CLASS, False),
    Device("video", guid_bytes("da0a7802-e377-4aac-8e77-0558eb1073f8"), False),
    Device("keyboard", guid_bytes("f912ad6d-2b17-48ea-bd65-f927a61c7684"), False),
    Device("mouse", guid_bytes("cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a"), False),
    Device("key-value pairs", m.KVP_CLASS, False),
    Device("time sync", m.TIMESYNC_CLASS, True),
    Device("heartbeat", m.HEARTBEAT_CLASS, True),
    Device("shutdown", m.SHUTDOWN_CLASS, True),
    Device("file copy", guid_bytes("34d14be3-dee4-41c8-9ae7-6b174977c192"), False),
    Device("backup", guid_bytes("35fa2e29-ea23-4236-96ae-3a6ebacba440"), False),
    Device("dynamic memory", m.MEMORY_CLASS, False),
    Device("unknown", None, False),
)
ALLOWED = frozenset(device.class_id for device in DEVICES if device.allowed)
LEAST_VMBUS = m.V5_2          # what is older is refused (vmbus_connect: "Invalid VMBus version")
