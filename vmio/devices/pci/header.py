"""Where things are in a function's configuration header, and what its bits mean.

Source: PCI Local Bus Specification 2.1, chapter 6 (sections cited below); 3.0 for
bit 10 of the command register.
"""

# 6.1, figure 6-1: offsets in the header
VENDOR, DEVICE, COMMAND, STATUS, REVISION, CLASS = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
CACHE_LINE, HEADER_TYPE, BAR0, SUBSYSTEM, CAPABILITIES = 0x0C, 0x0E, 0x10, 0x2C, 0x34
INTERRUPT_LINE, INTERRUPT_PIN, DEVICE_SPECIFIC = 0x3C, 0x3D, 0x40
CONFIG_BYTES = 256
EXTENDED_BYTES = 4096      # PCI Express Base Specification 2.1, 7.2: configuration space of a PCI Express function

# 6.2.2, 6.2.3
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_SERR, COMMAND_INTX_OFF = 0x001, 0x002, 0x004, 0x100, 0x400
COMMAND_WRITABLE = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_OFF
STATUS_INTERRUPT, STATUS_CAPABILITIES = 0x0008, 0x0010
STATUS_WRITE_1_TO_CLEAR = 0xF900  # parity errors, aborts and SERR# that were seen
