"""What a look at a guest's letter is told, and what came of it: places, and what each viewer holds."""

from collections import Counter
from dataclasses import dataclass
from math import log2

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.experiments.secrets import MARK
from vmio.hypervisor.costs import CostModel

ROUTES = ("disk", "net", "socket", "device")
PROTECTION = {"disk": "AES-XTS on the disk", "net": "TLS records on the wire", "socket": "TLS records in the socket",
              "device": "TDISP for the device"}
PLACES = DISK, WIRE, RINGS, POOL, LOG, RAM = "the disk", "the wire", "the rings", "the bounce buffers", "the DMA log", "the guest's RAM"
VIEWERS = {"disk": (DISK, RINGS, POOL, LOG, RAM), "net": (WIRE, RINGS, POOL, RAM), "socket": (WIRE, RINGS, RAM),
           "device": (POOL, LOG, RAM)}
BYTES = 4096            # of the letter: as much as the device's buffer holds
POOL_KIB = 256


@dataclass(frozen=True)
class ViewsParams:
    """What `run` does; `costs` is the name of a preset, or a `CostModel` with prices of your own."""

    route: str = param("disk", "where the guest writes its letter: to its disk, to the network, into a socket to its host, or into a device that was passed through", choices=ROUTES)
    isolated: bool = param(False, "the guest's memory is its own, but for the pages that it shares", flag=True)
    protected: bool = param(False, "the route's own protection: the disk is encrypted, what is sent is sealed, the device is bound by TDISP", flag=True)
    seed: int = param(1, "makes the keys", low=0, high=1 << 32)
    costs: str | CostModel = param("server-2022", "cost preset")

    def check(self) -> "ViewsParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        CostModel.preset(self.costs)
        return self


@dataclass(frozen=True)
class View:
    """What one viewer holds."""

    held: bytes

    @property
    def hits(self) -> int:
        """Lines of the letter that are in it."""
        return self.held.count(MARK)

    @property
    def entropy(self) -> float:
        """Bits of surprise a byte has, where anything but zeros is: 0 if all bytes are equal, 8 if all values are equally frequent (C. E. Shannon, 1948)."""
        data = b"".join(block for block in (self.held[at:at + 16] for at in range(0, len(self.held), 16)) if any(block))
        return -sum(count / len(data) * log2(count / len(data)) for count in Counter(data).values()) + 0.0

    def dump(self, lines: int, width: int = 8) -> str:
        """Some rows in hexadecimal and as text, as an administrator looks at them: of the first page that is not empty, from its fullest row on."""
        page = (len(self.held) - len(self.held.lstrip(b"\0"))) // width * width
        first = min(range(page, min(page + 4096, len(self.held)), width), key=lambda at: self.held[at:at + width].count(0), default=0)
        rows = ((at, self.held[at:at + width]) for at in range(first, min(first + lines * width, len(self.held)), width))
        return "\n".join(f"{at & 0xFFFF:04x}  {row.hex(' '):<{3 * width - 1}} {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}" for at, row in rows)


@dataclass(frozen=True)
class Seen:
    """What came of it: `views` {viewer: what it holds, or None where there is nothing to look at}; the guest's exits and times (ns)."""

    params: ViewsParams
    views: dict[str, View | None]
    lines: int
    intact: bool            # the letter arrived as it was written
    exits: int
    bounced: int            # bytes that were copied into the pool, and out of it
    crypt_ns: int
    ns: int

    @property
    def hits(self) -> dict[str, int]:
        """Lines that each viewer has found; a place that isn't there has none."""
        return {place: view.hits if view is not None else 0 for place, view in self.views.items()}
