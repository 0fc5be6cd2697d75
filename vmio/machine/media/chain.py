"""A disk as a chain of differencing layers over an image: checkpoints of a disk that goes on being used.

    disk = LayeredDisk(image)
    disk.checkpoint("before the update")     what is there stays; a new layer takes what is written from now on
    disk.revert("before the update")         what was written since is gone
    for moved in disk.merge("before the update"):    the checkpoint goes, its disk stays as it is, step by step
        ...                                          meanwhile its guest reads and writes

A read begins at the top: who wrote a sector last has it; the image has what nobody wrote.  So each layer more is one more to ask
for what lies deep, and `asked` counts it.  A write goes to the top alone.  Hyper-V does the same with files (.avhdx), and merges a
checkpoint that is deleted into its parent while the guest runs.

Layers lie in a row here.  Hyper-V's may branch: who reverts there keeps the other branch.
"""

from collections.abc import Iterator
from typing import Any

from vmio.machine.checkpoint import CheckpointRefused, Form, State, plain, same
from vmio.machine.contracts import Buffer, Sectors
from vmio.machine.media.medium import SECTOR, STEP, Medium, merged
from vmio.machine.media.ranges import Ranges

DISK = Form("layered disk", 1, "sectors", "layers", "merging")
LAYER = Form("layer", 1, "name", "own", "zeroed", "asked", "found")
ZEROS = bytes(SECTOR)
SERIAL = 20            # letters of a serial number: what an NVMe controller and an ATA disk have room for
CURRENT = "now"        # the name of the top


class Layer:
    """What was written after the checkpoint below, and before the one that has this layer's `name`.

    `own` is what was written, by LBA, and wins over `zeroed`, what was discarded.  `asked` counts requests that looked here, `found`
    sectors that were here.
    """

    def __init__(self, name: str = CURRENT) -> None:
        self.name = name
        self.own: dict[int, bytes] = {}
        self.zeroed = Ranges()
        self.asked = self.found = 0

    def look(self, lba: int, missing: list[int], into: list[Any]) -> list[int]:
        """Put those of the `missing` sectors (numbers from `lba`) that are here `into` the list; returns those that are not."""
        self.asked += 1
        own = self.own
        gone = [span for span in self.zeroed.within(lba + missing[0], lba + missing[-1] + 1)] if self.zeroed.starts else []
        left = []
        for number in missing:
            at = lba + number
            data = own.get(at)
            if data is None and any(start <= at < end for start, end in gone):
                data = ZEROS
            if data is None:
                left.append(number)
            else:
                into[number] = data
        self.found += len(missing) - len(left)
        return left

    def discard(self, lba: int, count: int) -> None:
        """Let these sectors be zeros."""
        own, gone = self.own, range(lba, lba + count)
        for at in [at for at in own if at in gone] if count > len(own) else gone:
            own.pop(at, None)
        self.zeroed.add(lba, lba + count)

    def save(self) -> State:
        """Return it as plain data."""
        return LAYER.state(name=self.name, own=self.own.items(), zeroed=zip(self.zeroed.starts, self.zeroed.ends), asked=self.asked,
                           found=self.found)

    @classmethod
    def restored(cls, state: State) -> "Layer":
        """Return the layer that was saved."""
        saved = LAYER.take(state)
        layer = cls(saved["name"])
        layer.own = {lba: data for lba, data in saved["own"]}
        for start, end in saved["zeroed"]:
            layer.zeroed.add(start, end)
        layer.asked, layer.found = saved["asked"], saved["found"]
        return layer


class LayeredDisk(Medium):
    """A disk whose sectors are in `layers`, the lowest first, over `base`, which stays as it is.  `base_asked` counts requests that came so deep.

    With a `serial` number, devices say it (page 83h of a SCSI disk, IDENTIFY of an NVMe controller and of an ATA disk).
    """

    def __init__(self, base: Medium, name: str | None = None, serial: str | None = None) -> None:
        if serial is not None and (not 1 <= len(serial) <= SERIAL or not serial.isascii() or not serial.isalnum()):
            raise ValueError(f"disk {name or base.name}: serial number {serial!r}; 1 to {SERIAL} letters and digits")
        self.base, self.name, self.sectors, self._serial = base, name or f"layers over {base.name}", base.sectors, serial
        self.layers = [Layer()]
        self.base_asked = 0
        self._merging: str | None = None

    @property
    def top(self) -> Layer:
        """The layer that takes what is written."""
        return self.layers[-1]

    @property
    def checkpoints(self) -> list[str]:
        """The names of the checkpoints, the oldest first."""
        return [layer.name for layer in self.layers[:-1]]

    @property
    def serial(self) -> str | None:
        """Its own serial number, or None."""
        return self._serial

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the image."""
        return self.base.paths

    def looked_up(self) -> dict[str, int]:
        """Return how many requests have asked each layer, the top first, and the image at last: {name: requests}."""
        return {**{layer.name: layer.asked for layer in reversed(self.layers)}, "image": self.base_asked}

    # A disk's own methods.

    def read(self, lba: int, count: int = 1) -> Sectors:
        """Return `count` sectors from `lba`, as bytes: each from the highest layer that has it."""
        self.check_read(lba, count)
        found: list[Sectors | None] = [None] * count
        missing = list(range(count))
        for layer in reversed(self.layers):
            if not missing:
                break
            missing = layer.look(lba, missing, found)
        if missing:
            self.base_asked += 1
            first = missing[0]
            data = self.base.read(lba + first, missing[-1] + 1 - first)
            if len(missing) == count:
                return data
            for number in missing:
                found[number] = data[(number - first) * SECTOR:(number - first + 1) * SECTOR]
        return b"".join(each for each in found if each is not None)

    def write(self, lba: int, data: Buffer) -> None:
        """Store `data`, a whole number of sectors, from `lba`, in the top."""
        own = self.top.own
        for n in range(self.check_write(lba, data)):
            own[lba + n] = bytes(data[n * SECTOR:(n + 1) * SECTOR])

    def discard(self, lba: int, count: int) -> None:
        """Make sectors read as zeros; what lies below keeps what it has."""
        self.check_read(lba, count)
        self.top.discard(lba, count)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return what layers and image have; what was discarded is not taken out."""
        return merged(self.base.extents(), *(((lba, lba + 1) for lba in sorted(layer.own)) for layer in self.layers))

    def close(self) -> None:
        """Let go of the image."""
        self.base.close()

    # What an administrator does with it.

    def checkpoint(self, name: str) -> None:
        """Keep the disk as it is now under this name; ValueError for a name that is taken, or none."""
        if not name or name == CURRENT or name in self.checkpoints:
            raise ValueError(f"checkpoint {name!r}: a name of its own is needed; {self._names()}")
        self.top.name = name
        self.layers.append(Layer())

    def clone(self, name: str, serial: str | None = None) -> "LayeredDisk":
        """Return another disk that holds what was kept under this name, with layers of its own over the same image."""
        at = self._find(name)
        self._check_not_merging()
        other = LayeredDisk(self.base, self.name, serial)
        other.layers = [Layer.restored(plain(layer.save())) for layer in self.layers[:at + 1]] + [Layer()]
        for layer in other.layers:
            layer.asked = layer.found = 0
        return other

    def revert(self, name: str) -> None:
        """Be the disk again that was kept under this name; later checkpoints and what was written since are gone."""
        at = self._find(name)
        self._check_not_merging()
        self.layers[at + 1:] = [Layer()]

    def merge(self, name: str, step: int = STEP) -> Iterator[int]:
        """Delete a checkpoint: what was written after it is moved into the layer below, `step` sectors at a time.

        Yields how many sectors have moved, after each step; in between, the disk is read and written as ever, and each other checkpoint
        is what it was.  ValueError for a name that there is not, and for a second one at a time.
        """
        self._find(name)
        self._check_not_merging()
        self._merging = name
        return self.go_on_merging(step)

    def go_on_merging(self, step: int = STEP) -> Iterator[int]:
        """Do the rest of a `merge` that was under way; ValueError if none was."""
        if self._merging is None:
            raise ValueError(f"disk {self.name}: nothing is being merged")
        at = self._find(self._merging)
        return self._moved(self.layers[at], self.layers[at + 1], step)

    def _moved(self, below: Layer, above: Layer, step: int) -> Iterator[int]:
        moved = 0
        while above.own or above.zeroed.starts:     # a guest may write into the top meanwhile
            for start, end in zip(above.zeroed.starts, above.zeroed.ends):
                below.discard(start, end - start)
            above.zeroed = Ranges()
            for _ in range(min(step, len(above.own))):
                lba, data = above.own.popitem()
                below.own[lba] = data
                moved += 1
            yield moved
        below.name = above.name
        below.asked, below.found = below.asked + above.asked, below.found + above.found
        self.layers.remove(above)
        self._merging = None

    # For a machine's checkpoint.

    def saved_sectors(self) -> State:
        """Return the layers, and what is being merged; the image stays as it was, and is not in it."""
        return DISK.state(sectors=self.sectors, layers=[layer.save() for layer in self.layers], merging=self._merging)

    def take_back(self, state: State) -> None:
        """Hold what `saved_sectors` gave, over an equal image; a merge under way is to be gone on with (`go_on_merging`)."""
        saved = DISK.take(state)
        same(f"image {self.name}, sectors", saved["sectors"], self.sectors)
        layers = [Layer.restored(each) for each in saved["layers"]]
        names = [layer.name for layer in layers]
        if not names or names[-1] != CURRENT or len(set(names)) < len(names) or saved["merging"] not in (None, *names[:-1]):
            raise CheckpointRefused(f"checkpoint, image {self.name}: layers {names}, of which {saved['merging']} is being merged, are no chain")
        self.layers, self._merging = layers, saved["merging"]

    def _find(self, name: str) -> int:
        if name not in self.checkpoints:
            raise ValueError(f"checkpoint {name!r}: there is none of that name; {self._names()}")
        return self.checkpoints.index(name)

    def _names(self) -> str:
        return f"disk {self.name} has {', '.join(self.checkpoints) or 'none'}"

    def _check_not_merging(self) -> None:
        if self._merging is not None:
            raise ValueError(f"disk {self.name}: {self._merging} is being merged; one thing at a time")
