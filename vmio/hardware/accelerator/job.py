"""One descriptor's work: is it possible, how long does it take, and what does it do to the on-chip memory?

Nothing here knows of registers or time's passing.  A descriptor is checked as a whole before a byte moves.
Source of the arithmetic: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (CVPR 2018), section 2.2: int8 products in int32 sums, one fixed-point factor back to int8.
"""

import sys
from array import array
from functools import lru_cache

from vmio.hardware.accelerator.registers import (
    BIAS,
    FETCH_NS,
    INTERRUPT,
    LANES,
    LINK_BYTES,
    LINK_NS,
    RELU,
    REQUANTISE,
    SRAM_BYTES,
    Error,
    Op,
)
from vmio.machine.contracts import Buffer, Memory, Record
from vmio.machine.memory import MemoryFault
from vmio.machine.pagetable import TranslationFault

OF_MATMUL = INTERRUPT | BIAS | RELU | REQUANTISE
MAX_SHIFT = 31
FIELD, OFFSET = 64, 1 << 40          # bits of a column in a long integer; what keeps every field positive on the way
HALF, WRAP = 1 << 31, 1 << 32


class Refused(Exception):
    """The engine does not do this; `error` is why."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.name)
        self.error = error


def check(job: Record) -> None:
    """`Refused` for an operation that there isn't, or that reaches beyond the on-chip memory."""
    if job.op not in Op.__members__.values() or job.flags & ~(OF_MATMUL if job.op == Op.MATMUL else INTERRUPT) or job.shift > MAX_SHIFT:
        raise Refused(Error.OPERATION)
    if any(at + length > SRAM_BYTES for at, length in _spans(job)):
        raise Refused(Error.BOUNDS)


def _spans(job: Record) -> list[tuple[int, int]]:
    """Which (place, bytes) of the on-chip memory an operation touches."""
    whole = job.rows * job.cols
    if job.op == Op.LOAD:
        return [(job.output, whole)]
    if job.op == Op.STORE:
        return [(job.input, whole)]
    if job.op != Op.MATMUL:
        return []
    bias = [(job.bias, 4 * job.cols)] if job.flags & BIAS else []
    return [(job.input, job.rows * job.depth), (job.weights, job.depth * job.cols), *bias,
            (job.output, whole if job.flags & REQUANTISE else 4 * whole)]


def duration(job: Record, fetched: bool = True) -> int:
    """Return how long an operation takes, in ns: bytes over the link, products over the lanes; and its own fetch from the ring."""
    ns = FETCH_NS if fetched else 1
    if job.op in (Op.LOAD, Op.STORE):
        ns += -(-job.rows * job.cols * LINK_NS // LINK_BYTES)
    elif job.op == Op.MATMUL:
        ns += -(-job.rows * job.cols * job.depth // LANES)
    return ns


def do(job: Record, sram: bytearray, memory: Memory) -> None:
    """Do what a checked descriptor says; `Refused` if memory refuses, and then nothing has moved."""
    whole = job.rows * job.cols
    if job.op == Op.MATMUL:
        multiply(job, sram)
    elif job.op in (Op.LOAD, Op.STORE) and whole:
        try:
            if job.op == Op.LOAD:
                sram[job.output:job.output + whole] = memory.read(job.address, whole)
            else:
                memory.write(job.address, bytes(sram[job.input:job.input + whole]))
        except (TranslationFault, MemoryFault):
            raise Refused(Error.DMA) from None


def multiply(job: Record, sram: bytearray) -> None:
    """The product, with all that its flags add."""
    bias = bytes(sram[job.bias:job.bias + 4 * job.cols]) if job.flags & BIAS else b""
    data = product(bytes(sram[job.input:job.input + job.rows * job.depth]), bytes(sram[job.weights:job.weights + job.depth * job.cols]), bias,
                   (job.rows, job.depth, job.cols), job.flags & (RELU | REQUANTISE), job.factor, job.shift)
    sram[job.output:job.output + len(data)] = data


@lru_cache(32)       # whoever asks the same again, as one who measures time does, gets the same
def product(left: bytes, right: bytes, bias: bytes, shape: tuple[int, int, int], flags: int, factor: int, shift: int) -> bytes:
    """Return the product of rows x depth and depth x cols int8, plus `bias` (int32, or none).  Sums wrap as registers of 32 bits do.

    A row of the product is a sum of whole rows of the right matrix, each times one number of the left; so each row is one long
    integer here, with a field of 64 bits a column, and one multiplication does what as many lanes do.
    """
    count, depth, cols = shape
    rows = _rows(right, cols)
    start = sum(OFFSET << FIELD * n for n in range(cols)) + _packed(_words("i", bias))
    numbers, sums = array("b", left), array("q")
    for n in range(count):
        total = start
        for each, row in zip(numbers[n * depth:(n + 1) * depth], rows):
            if each:
                total += each * row
        sums += _words("q", total.to_bytes(cols * FIELD // 8, "little"))
    found = [(each - OFFSET + HALF) % WRAP - HALF for each in sums]
    if flags & RELU:
        found = [max(each, 0) for each in found]
    if flags & REQUANTISE:
        half = 1 << shift >> 1
        found = [min(127, max(-128, each * factor + half >> shift)) for each in found]
    data = array("b" if flags & REQUANTISE else "i", found)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


@lru_cache(16)       # weights stay while images come and go
def _rows(right: bytes, cols: int) -> list[int]:
    """Return the right matrix, each of its rows as one number."""
    return [_packed(array("b", right[at:at + cols])) for at in range(0, len(right), cols)] if cols else []


def _packed(values: array) -> int:
    """Return these numbers as one, a field of 64 bits each, the first one lowest."""
    wide = array("q", [each + OFFSET for each in values])
    if sys.byteorder == "big":
        wide.byteswap()
    return int.from_bytes(wide.tobytes(), "little") - sum(OFFSET << FIELD * n for n in range(len(values)))


def _words(code: str, data: Buffer) -> array:
    """Return little-endian numbers of this size as they are."""
    words = array(code, bytes(data))
    if sys.byteorder == "big":
        words.byteswap()
    return words
