"""Power management: the capability that a driver looks for.  D0 to D3 are held, and nothing sleeps.

Source: PCI Bus Power Management Interface Specification 1.2, 3.2.
"""

from vmio.devices.pci.capabilities import Capability

POWER_ID = 0x01
CAPABILITIES, CONTROL = 2, 4
VERSION_1_2, STATE, NO_SOFT_RESET = 0x0003, 0x0003, 0x0008


class PowerManagement(Capability):
    """Version 1.2, no PME#, and from D3 to D0 without a reset."""

    def __init__(self, at=None):
        super().__init__(POWER_ID, 8, [(CAPABILITIES, 2, VERSION_1_2), (CONTROL, 2, NO_SOFT_RESET)], [(CONTROL, 2, STATE)], at)
