"""How a network is put on a matrix engine: what lies where in the on-chip memory, and the descriptors of one call.

A network is layers of int8 weights; each makes int32 sums of what the one before gives, and all but the last bring them back
to int8.  Weights and biases are loaded once and stay; images pass in pieces that fit beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vmio.hardware.accelerator.registers import BIAS, DESCRIPTOR, INTERRUPT, RELU, REQUANTISE, SRAM_BYTES, Op

ALIGN = 64
MOVED = 1 << 15          # bytes of a LOAD or a STORE at most


@dataclass(frozen=True)
class Layer:
    """`weights` are `inputs` x `outputs` int8, row by row, `biases` `outputs` int32 (little-endian); `factor` is over 2^`shift`."""

    inputs: int
    outputs: int
    weights: bytes
    biases: bytes
    factor: int = 0
    shift: int = 0

    def check(self, where: str) -> None:
        """ValueError for weights or biases of another shape."""
        for name, data, wanted in (("weights", self.weights, self.inputs * self.outputs), ("biases", self.biases, 4 * self.outputs)):
            if len(data) != wanted:
                raise ValueError(f"{where}: {name} of {len(data):,} bytes; {self.inputs} inputs and {self.outputs} outputs need {wanted:,}")


class Network:
    """`layers` one after the other.  ValueError for layers that don't fit to each other, to their weights, or on the chip."""

    def __init__(self, layers: Sequence[Layer], name: str = "network") -> None:
        self.layers, self.name = list(layers), name
        if not self.layers:
            raise ValueError(f"{name}: no layer; a network has at least one")
        for number, layer in enumerate(self.layers, 1):
            layer.check(f"{name}, layer {number}")
            if number > 1 and layer.inputs != self.layers[number - 2].outputs:
                raise ValueError(f"{name}, layer {number}: {layer.inputs} inputs; the layer before has {self.layers[number - 2].outputs} outputs")
        self.inputs, self.outputs = self.layers[0].inputs, self.layers[-1].outputs

    @property
    def weight_bytes(self) -> int:
        """The weights of all layers, and as many products for each image."""
        return sum(len(layer.weights) for layer in self.layers)

    @property
    def constants(self) -> bytes:
        """What is loaded once: all weights, then, on a boundary of four bytes, all biases."""
        weights = b"".join(layer.weights for layer in self.layers)
        return weights + bytes(-len(weights) % 4) + b"".join(layer.biases for layer in self.layers)

    def count(self, images: bytes) -> int:
        """Return how many images these bytes are; ValueError unless they are whole ones."""
        number, rest = divmod(len(images), self.inputs)
        if rest or not number:
            raise ValueError(f"images of {len(images):,} bytes; {self.name} takes a positive multiple of {self.inputs}")
        return number


class Plan:
    """Where `network` lies on the chip.  `piece` is how many images pass at a time; ValueError if there is room for none."""

    def __init__(self, network: Network, sram: int = SRAM_BYTES) -> None:
        self.network = network
        self.weights, self.biases, at = [], [], 0
        for layer in network.layers:
            self.weights.append(at)
            at += len(layer.weights)
        at += -at % 4
        for layer in network.layers:
            self.biases.append(at)
            at += 4 * layer.outputs
        self.images = at + -at % ALIGN
        each = [network.inputs, *(layer.outputs for layer in network.layers[:-1]), 4 * network.outputs]
        self.piece = max(0, sram - self.images - 4) // sum(each)
        if not self.piece:
            raise ValueError(f"{network.name}: {at:,} bytes of weights and biases and one image; the chip has {sram:,}")
        self.areas = [self.images]                      # images, what each layer gives, sums of the last
        for size in each[:-1]:
            self.areas.append(self.areas[-1] + size * self.piece)
        self.areas[-1] += -self.areas[-1] % 4

    def load(self, address: int) -> list[bytes]:
        """Return the descriptors that bring the network's constants, which lie at `address` in memory, onto the chip."""
        return moves(Op.LOAD, address, 0, len(self.network.constants))

    def products(self, images: int, flags: int = 0) -> list[bytes]:
        """Return a descriptor for each layer, for so many images; the last has these `flags` more."""
        found = []
        for number, layer in enumerate(self.network.layers):
            last = number + 1 == len(self.network.layers)
            found.append(DESCRIPTOR.pack(
                op=Op.MATMUL, flags=BIAS | (flags if last else RELU | REQUANTISE), rows=images, cols=layer.outputs, depth=layer.inputs,
                input=self.areas[number], weights=self.weights[number], bias=self.biases[number], output=self.areas[number + 1],
                factor=layer.factor, shift=layer.shift))
        return found

    def call(self, images: int, source: int, target: int) -> list[bytes]:
        """Return the descriptors for so many images that lie at `source`, their sums to `target`; the last one interrupts."""
        found, inputs, outputs = [], self.network.inputs, 4 * self.network.outputs
        for first in range(0, images, self.piece):
            some = min(self.piece, images - first)
            found += moves(Op.LOAD, source + first * inputs, self.areas[0], some * inputs)
            found += self.products(some)
            found += moves(Op.STORE, target + first * outputs, self.areas[-1], some * outputs)
        return [*found[:-1], with_interrupt(found[-1])]


def moves(op: Op, address: int, at: int, length: int) -> list[bytes]:
    """Return the descriptors of a LOAD or a STORE of `length` bytes between `address` and `at` on the chip, one for each 32 KiB."""
    found = []
    for done in range(0, length, MOVED):
        some = min(MOVED, length - done)
        place = {"output" if op == Op.LOAD else "input": at + done}
        found.append(DESCRIPTOR.pack(op=op, rows=1, cols=some, address=address + done, **place))
    return found


def with_interrupt(descriptor: bytes) -> bytes:
    """Return the same descriptor, which interrupts when it is done."""
    at, _ = DESCRIPTOR.at("flags")
    return descriptor[:at] + bytes([descriptor[at] | INTERRUPT]) + descriptor[at + 1:]
