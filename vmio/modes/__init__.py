"""How a device is attached to a guest: (device, mode) -> Attachment.  The one way to put a machine together.

    machine = Machine()
    a = machine.guest("a", attachment("disk", "split"), image)
    machine.power_on()
    machine.run((a, program))

    one_guest(attachment("serial", "emulated")).run(program)       # a machine of one guest, at once
"""

from vmio.modes.attachments import ATTACHMENTS, Attachment, attachment
from vmio.modes.machine import GuestMachine, Machine, one_guest

__all__ = ["ATTACHMENTS", "Attachment", "GuestMachine", "Machine", "attachment", "one_guest"]
