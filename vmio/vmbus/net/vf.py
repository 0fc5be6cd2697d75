"""A virtual function beside the split card (accelerated networking): the guest is told of it, and says which of the two has its frames.

The host tells the guest a serial number; the function that comes on a virtual PCI bus has the same one, and the same address.  Once
the guest has it up, it asks for the data path, and is answered by an empty completion.  What the host takes away it takes back first.
Public sources: OpenVMM vm/devices/net/netvsp (the order); Linux drivers/net/hyperv/netvsc_drv.c (netvsc_vf_handle_event).
"""

from collections.abc import Callable
from typing import Any

from vmio.machine.checkpoint import Form, State
from vmio.vmbus.net import nvsp as n

ASSOCIATION = Form("virtual function beside a card", 1, "serial", "path", "told", "switches")

class VfAssociation:
    """Of `vsp` (a `NetVsp`).  `on_path(path)` lets the host's network give frames to the one or the other; None: there is no function."""

    def __init__(self, vsp: Any) -> None:
        self.vsp = vsp
        self.serial: int | None = None
        self.path = n.SYNTHETIC
        self.on_path: Callable[[int], None] | None = None
        self._told = False
        self.switches = 0

    def begin(self) -> None:
        """The guest's driver begins anew: it knows nothing, and its frames are the split card's."""
        self._told = False
        self._take(n.SYNTHETIC)

    def running(self) -> None:
        """The guest takes frames: if it knows such functions, it hears of the one that there is."""
        able = self.vsp.version >= n.V4 and n.CAPABILITIES.take(self.vsp.capabilities).sriov
        if self.serial is not None and able and not self._told:
            self._told = True
            self._say(n.VF_ASSOCIATION.pack(allocated=1, serial=self.serial))

    def associate(self, serial: int) -> None:
        """A function with this serial number will be the guest's."""
        self.serial = serial
        if self.vsp.control.filter:
            self.running()

    def dissociate(self) -> None:
        """It goes; at once its frames are the split card's again, and the guest hears so."""
        if self.path != n.SYNTHETIC:
            self._take(n.SYNTHETIC)
            self._say(n.DATA_PATH.pack(path=n.SYNTHETIC))
        self.serial = None
        if self._told:
            self._told = False
            self._say(n.VF_ASSOCIATION.pack(allocated=0))

    def switch(self, path: int) -> None:
        """The guest asks for a path; without a function that it was told of it stays on the split card's."""
        if path == n.SYNTHETIC or path == n.VF and self._told:
            self._take(path)

    def _take(self, path: int) -> None:
        if path != self.path:
            self.path = path
            self.switches += 1
            if self.on_path is not None:
                self.on_path(path)

    def _say(self, message: bytes) -> None:
        self.vsp.post(message.ljust(n.size(self.vsp.version), b"\0"))

    def save(self) -> State:
        """Return which function there is, what the guest knows of it, and where its frames come."""
        return ASSOCIATION.state(serial=self.serial, path=self.path, told=self._told, switches=self.switches)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; nobody is told."""
        saved = ASSOCIATION.take(state)
        self.serial, self.path, self._told, self.switches = saved["serial"], saved["path"], saved["told"], saved["switches"]
