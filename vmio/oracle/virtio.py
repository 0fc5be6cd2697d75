"""Virtio devices on the door's board, said as QEMU's command line says them: `virtio-blk-pci,packed=on,queue-size=8`.

What a medium or a wire is asked for happens with the kick; its answer comes after the command that follows.
"""

from collections.abc import Callable

from vmio.devices.ata.disk import guess_geometry
from vmio.machine.contracts import Memory
from vmio.machine.media.medium import Medium
from vmio.machine.net import frames
from vmio.oracle.wire import ADDRESS
from vmio.virtio import blk, net
from vmio.virtio import features as f
from vmio.virtio.blk import Blk, MediumStore
from vmio.virtio.device import VirtioDevice
from vmio.virtio.net import Net
from vmio.virtio.pci import VirtioFunction
from vmio.virtio.queue.chain import Chain
from vmio.virtio.server import AtOnce

BLK, NET = "virtio-blk-pci", "virtio-net-pci"
SWITCHES = {"packed": f.RING_PACKED, "indirect_desc": f.INDIRECT_DESC, "event_idx": f.EVENT_IDX, "queue_reset": f.RING_RESET,
            "mrg_rxbuf": net.w.MRG_RXBUF}
ASKED_ELSEWHERE = ("drive", "netdev", "addr", "disable-legacy", "iommu_platform")      # taken, and nothing changes: the door has them so


def options_of(text: str) -> tuple[str, dict[str, str]]:
    """Return (name, options) of `name,option=value,...`; ValueError for an option that is not of that form."""
    name, *given = text.split(",")
    for each in given:
        if "=" not in each:
            raise ValueError(f"device {name}: {each!r}; options are name=value")
    return name, dict(each.split("=", 1) for each in given)


def virtio_function(text: str, memory: Memory, medium: Medium | None, defer: Callable[[Callable[[], None]], None]) -> VirtioFunction:
    """Return the function that `text` says, with a disk's `medium`; `defer(call)` calls later.  ValueError names what it doesn't know."""
    name, options = options_of(text)
    features = blk.FEATURES if name == BLK else net.FEATURES
    for option, bit in SWITCHES.items():
        if option in options:
            features = features | bit if _switch(name, option, options.pop(option)) else features & ~bit
    device: VirtioDevice
    if name == BLK:
        if medium is None:
            raise ValueError(f"device {name}: needs a drive")
        size, queues = _number(name, options, "queue-size", 256), _number(name, options, "num-queues", 1)
        device = Blk(memory, MediumStore(medium), (size,) * queues, options.pop("serial", "VMIO0001"), features, guess_geometry(medium.sectors))
        vectors = queues + 1
    else:
        sizes = _number(name, options, "rx_queue_size", 256), _number(name, options, "tx_queue_size", 256), 64
        device = Net(memory, frames.parse_address(options.pop("mac", frames.show_address(ADDRESS))), sizes, features)
        vectors = 4
    unknown = [option for option in options if option not in ASKED_ELSEWHERE]
    if unknown:
        raise ValueError(f"device {name}: no option {unknown[0]!r}; it has {', '.join(SWITCHES)}, sizes and numbers of queues, serial, mac")
    device.served_by(lambda device, number: Deferred(device, number, defer))
    return VirtioFunction(device, vectors)


class Deferred(AtOnce):
    """A server whose answers come later."""

    def __init__(self, device: VirtioDevice, number: int, defer: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(device, number)
        self.defer = defer

    def put(self, chain: Chain, written: int) -> None:
        """See `Server`; what comes from the wire is there when it comes."""
        if self._serving:
            self.defer(lambda: self._later(chain, written))
        else:
            super().put(chain, written)

    def _later(self, chain: Chain, written: int) -> None:
        if not self._stopped:
            super().put(chain, written)
        else:
            self.device.done(self.number, chain, written)


def _switch(name: str, option: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise ValueError(f"device {name}: {option}={value}; on or off")
    return value == "on"


def _number(name: str, options: dict[str, str], option: str, usual: int) -> int:
    text = options.pop(option, str(usual))
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise ValueError(f"device {name}: {option}={text}; 1 to 1,024")
    return int(text)
