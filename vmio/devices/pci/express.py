"""PCI Express: the capability of an endpoint on a link of one lane at 2.5 GT/s.

Source: PCI Express Base Specification 2.1, 7.8 "PCI Express Capability Structure";
values as in QEMU 7.2's endpoints.
"""

from vmio.devices.pci.capabilities import Capability

EXPRESS_ID = 0x10
FLAGS, DEVICE, LINK, LINK_STATUS, DEVICE_2, DEVICE_CONTROL_2 = 0x02, 0x04, 0x0C, 0x12, 0x24, 0x28
ROLE_BASED_ERRORS, FUNCTION_LEVEL_RESET = 1 << 15, 1 << 28        # of DEVICE
PREFIXES, PREFIX_BLOCKING = 3 << 20, 1 << 15                      # extended format and prefixes; their blocking


class Express(Capability):
    """Version 2 of the structure, device type 0: an endpoint."""

    def __init__(self, at=None):
        super().__init__(EXPRESS_ID, 0x3C, [
            (FLAGS, 2, 2), (DEVICE, 4, ROLE_BASED_ERRORS | FUNCTION_LEVEL_RESET), (LINK, 4, 0x0411), (LINK_STATUS, 2, 0x0011),
            (DEVICE_2, 4, PREFIXES)], [(DEVICE_CONTROL_2, 2, PREFIX_BLOCKING)], at)
