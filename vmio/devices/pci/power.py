"""Power management: the capability that a driver looks for.  D0 to D3 are held, and nothing sleeps.

Source: PCI Bus Power Management Interface Specification 1.2, 3.2.
"""

from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.wire import POWER, POWER_ID

VERSION_1_2, STATE, NO_SOFT_RESET = 0x0003, 0x0003, 0x0008


class PowerManagement(Capability):
    """Version 1.2, no PME#, and from D3 to D0 without a reset."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__(POWER_ID, POWER.size, [(*POWER.at("capabilities"), VERSION_1_2), (*POWER.at("control"), NO_SOFT_RESET)],
                         [(*POWER.at("control"), STATE)], at)
