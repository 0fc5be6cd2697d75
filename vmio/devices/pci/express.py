"""PCI Express: the capability of an endpoint on a link of one lane at 2.5 GT/s.

Source: PCI Express Base Specification 2.1, 7.8 "PCI Express Capability Structure";
values as in QEMU 7.2's endpoints.
"""

from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.wire import EXPRESS, EXPRESS_ID

ROLE_BASED_ERRORS, FUNCTION_LEVEL_RESET = 1 << 15, 1 << 28        # of `device`
PREFIXES, PREFIX_BLOCKING = 3 << 20, 1 << 15                      # extended format and prefixes; their blocking


class Express(Capability):
    """Version 2 of the structure, device type 0: an endpoint."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__(EXPRESS_ID, EXPRESS.size, [
            (*EXPRESS.at("flags"), 2), (*EXPRESS.at("device"), ROLE_BASED_ERRORS | FUNCTION_LEVEL_RESET),
            (*EXPRESS.at("link"), 0x0411), (*EXPRESS.at("link_status"), 0x0011), (*EXPRESS.at("device_2"), PREFIXES)],
            [(*EXPRESS.at("device_control_2"), PREFIX_BLOCKING)], at)
