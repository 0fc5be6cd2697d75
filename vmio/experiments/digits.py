"""The digits: a network of 64, 32 and 10 that was trained once, 450 images that it has not seen, and what it says of them.

`sums` is the oracle: whole numbers of numpy's or of Python's own, and nothing of the device's.  Where the files come from: data/digits/README.md.
"""

import json
import random
import sys
from array import array
from dataclasses import dataclass
from operator import mul

from vmio import data
from vmio.drivers.accelerator_plan import Layer, Network
from vmio.machine.contracts import FileName

IMAGES, PIXELS = 450, 64
MAX_FILE = 16 << 20


@dataclass(frozen=True)
class Digits:
    """The `network`; `images`, 64 bytes each, values 0 to 16; their `labels`, a byte each."""

    network: Network
    images: bytes
    labels: bytes


def network(weights: bytes, biases: bytes, names: tuple[str, str] = ("weights", "biases")) -> Network:
    """Return the network with these weights and biases, layer after layer; ValueError, by their `names`, if there are not as many as it has."""
    shape = json.loads(data.path("digits/network.json").read_text(encoding="utf-8"))["layers"]
    whole, of_biases = sum(each["inputs"] * each["outputs"] for each in shape), sum(4 * each["outputs"] for each in shape)
    for what, got, wanted in zip(names, (weights, biases), (whole, of_biases)):
        if len(got) != wanted:
            raise ValueError(f"{what}: {len(got):,} bytes; the digits network has {wanted:,}")
    layers, at, bias_at = [], 0, 0
    for each in shape:
        size, bias_size = each["inputs"] * each["outputs"], 4 * each["outputs"]
        layers.append(Layer(each["inputs"], each["outputs"], weights[at:at + size], biases[bias_at:bias_at + bias_size],
                            each.get("factor", 0), each.get("shift", 0)))
        at, bias_at = at + size, bias_at + bias_size
    return Network(layers, "digits")


def load() -> Digits:
    """Return the digits as they are kept."""
    def read(name: str) -> bytes:
        return data.path(f"digits/{name}").read_bytes()
    return Digits(network(read("weights.bin"), read("biases.bin")), read("images.bin"), read("labels.bin"))


def from_files(weights: FileName | None, biases: FileName | None) -> Network:
    """Return the network with the weights and biases in these files (None: those that were trained); ValueError for another number of them."""
    def read(name: FileName | None, kept: str) -> bytes:
        return data.path(f"digits/{kept}").read_bytes() if name is None else _bytes(name)
    return network(read(weights, "weights.bin"), read(biases, "biases.bin"), (f"weights {weights!s}", f"biases {biases!s}"))


def images_from(name: FileName) -> bytes:
    """Return the images in a file; ValueError, naming it, unless they are whole ones, and for more than 16 MiB."""
    found = _bytes(name)
    if not found or len(found) % PIXELS:
        raise ValueError(f"images {name!s}: {len(found):,} bytes; a positive multiple of {PIXELS}, an image each")
    return found


def _bytes(name: FileName) -> bytes:
    with open(name, "rb") as file:
        found = file.read(MAX_FILE + 1)
    if len(found) > MAX_FILE:
        raise ValueError(f"{name!s}: more than {MAX_FILE >> 20} MiB")
    return found


def sized(hidden: int) -> Network:
    """Return a network of 64, `hidden` and 10 with weights that mean nothing: for what depends on a network's size alone."""
    rng = random.Random(hidden)

    def layer(inputs: int, outputs: int, **scale: int) -> Layer:
        return Layer(inputs, outputs, rng.randbytes(inputs * outputs),
                     b"".join(rng.randrange(-1000, 1000).to_bytes(4, "little", signed=True) for _ in range(outputs)), **scale)
    return Network([layer(64, hidden, factor=268_053, shift=24), layer(hidden, 10)], f"network with {hidden} hidden sums")


def sums(network: Network, images: bytes) -> bytes:
    """Return the last layer's sums, images x outputs int32 (little-endian), by numpy's integers, or Python's where numpy isn't installed."""
    try:
        import numpy as np      # only the judge needs it
    except ModuleNotFoundError:
        return _sums(network, images)
    values = np.frombuffer(images, np.int8).reshape(-1, network.inputs).astype(np.int64)
    for number, layer in enumerate(network.layers, 1):
        weights = np.frombuffer(layer.weights, np.int8).reshape(layer.inputs, layer.outputs).astype(np.int64)
        values = values @ weights + np.frombuffer(layer.biases, "<i4")
        if number < len(network.layers):
            values = np.minimum((np.maximum(values, 0) * layer.factor + 2 ** (layer.shift - 1)) // 2 ** layer.shift, 127)
    return values.astype("<i4").tobytes()


def _sums(network: Network, images: bytes) -> bytes:
    """The same, number by number, for a browser's page: numpy comes there only if somebody imports it, and not everywhere."""
    values = [memoryview(images)[at:at + network.inputs].cast("b").tolist() for at in range(0, len(images), network.inputs)]
    for number, layer in enumerate(network.layers, 1):
        weights = memoryview(layer.weights).cast("b")
        columns = [weights[at::layer.outputs].tolist() for at in range(layer.outputs)]
        biases = [int.from_bytes(layer.biases[at:at + 4], "little", signed=True) for at in range(0, len(layer.biases), 4)]
        values = [[sum(map(mul, row, column)) + bias for column, bias in zip(columns, biases)] for row in values]
        if number < len(network.layers):
            half = 1 << layer.shift - 1
            values = [[min(max(value, 0) * layer.factor + half >> layer.shift, 127) for value in row] for row in values]
    return b"".join((value & 0xFFFF_FFFF).to_bytes(4, "little") for row in values for value in row)


def predictions(sums: bytes, outputs: int = 10) -> bytes:
    """Return the digit that each image's sums are largest for, a byte each; of equal ones the first."""
    table = array("i", sums)
    if sys.byteorder == "big":
        table.byteswap()
    rows = [table[at:at + outputs] for at in range(0, len(table), outputs)]
    return bytes(row.index(max(row)) for row in rows)
