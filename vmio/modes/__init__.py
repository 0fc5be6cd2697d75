"""How a device is attached to a guest: (device, mode) -> Attachment.  The one way to put a machine together.

    machine = Machine()
    a = machine.guest("a", attachment("disk", "split"), image)
    machine.power_on()
    machine.run((a, program))
"""

from vmio.modes.attachments import ATTACHMENTS, Attachment, attachment
from vmio.modes.machine import GuestMachine, Machine

__all__ = ["ATTACHMENTS", "Attachment", "GuestMachine", "Machine", "attachment"]
