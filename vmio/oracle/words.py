"""The words of a command line: numbers, lengths, bytes in hexadecimal; what is none ends in FAIL and a reason."""

from collections.abc import Iterator

MAX_BYTES = 16 << 20  # of one read or write command


class BadCommand(ValueError):
    """A line that the protocol does not allow; the answer is FAIL and a reason."""


def number(text: str, name: str, max_value: int = (1 << 64) - 1) -> int:
    """Return the number that a word is, 0 to `max_value`."""
    try:
        value = int(text, 0)
    except ValueError:
        raise BadCommand(f"{name} {text!r} is not a number") from None
    if not 0 <= value <= max_value:
        raise BadCommand(f"{name} {text}: 0 to {max_value:#x}")
    return value


def length_of(text: str) -> int:
    """Return a length of memory that one command may have."""
    length = number(text, "length")
    if not 0 < length <= MAX_BYTES:
        raise BadCommand(f"length {length}: 1 to {MAX_BYTES}")
    return length


def pages(at: int, length: int) -> Iterator[tuple[int, int]]:
    """Cut a range of memory where pages end: (address, bytes)."""
    end = at + length
    while at < end:
        step = min(4096 - at % 4096, end - at)
        yield at, step
        at += step


def hexadecimal(text: str, command: str) -> bytes:
    """Return the bytes of "0x1234" or "1234"; `command` is said in the reason."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise BadCommand(f"{command}: data {text[:40]!r} is not hexadecimal") from None
