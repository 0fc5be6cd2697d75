"""Two values that are not equal, told apart in a line: their text, their types if that is it, and where they part."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from numbers import Number

LONGEST = 70            # characters of a value in a message
GLANCE = 20             # of a value that is compared at a glance
HUGE = 1024             # bits of a number that is still written
AROUND = 4              # items shown on either side of the first difference
_WORDS = {bool: "a truth value", int: "a whole number", float: "a number with decimals", str: "text", bytes: "bytes",
          bytearray: "bytes", list: "a list", tuple: "a tuple", dict: "a dict", type(None): "None"}
_PLACE = re.compile(r" at 0x[0-9a-fA-F]+")     # in memory: another one each time


class Said(str):
    """A description in our words, shown as it is; any other text is a value and is shown in quotes."""


def shown(value: object, longest: int = LONGEST) -> str:
    """Return a value as a learner would write it, or a description as it is, shortened in its middle."""
    text = value if isinstance(value, Said) else _written(value)
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def described(value: object) -> str:
    """Return a value with the word for its type: '5' (text)."""
    return "None" if value is None else f"{shown(value)} ({_word(value)})"


def told_apart(expected: object, got: object) -> tuple[str, str, str]:
    """Return the texts of both values, always different ones, and a sentence on where they part, or ""."""
    left, right = shown(expected), shown(got)
    if isinstance(expected, Said) or isinstance(got, Said):
        return left, right, ""
    if _word(expected) != _word(got) and expected is not None and got is not None:
        return described(expected), described(got), ""
    where = first_difference(expected, got) if max(len(left), len(right)) > GLANCE else ""
    if left == right and not where:
        where = "They look alike and are not equal"
    return left, right, where


def first_difference(expected: object, got: object) -> str:
    """Return where two sequences or mappings of one type part, in a sentence without its full stop; "" for anything else."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key in [*expected, *(key for key in got if key not in expected)]:
            if key not in got or key not in expected:
                return f"{'Missing' if key in expected else 'Too much'}: {shown(key)}"
            if expected[key] != got[key]:
                return f"They part at {shown(key)}: expected {shown(expected[key])}, got {shown(got[key])}"
    if not (isinstance(expected, Sequence) and isinstance(got, Sequence)):
        return ""
    at = next((at for at, (one, other) in enumerate(zip(expected, got)) if one != other), min(len(expected), len(got)))
    name = {str: "character", bytes: "byte", bytearray: "byte"}.get(type(expected), "item")
    if at == len(expected) == len(got):
        return ""
    if at == min(len(expected), len(got)):
        return f"{len(expected):,} {name}s expected, {len(got):,} came" + (f"; the first {at:,} are right" if at else "")
    if name != "item":
        near = slice(max(0, at - AROUND), at + AROUND)
        return f"They part at {name} {at:,}: expected ...{shown(expected[near])}, got ...{shown(got[near])}"
    return f"They part at {name} {at:,}: expected {shown(expected[at])}, got {shown(got[at])}"


def same(expected: object, got: Any) -> bool:
    """Return whether `got` is the plain data that `expected` is, whatever its own class says of equality.

    Only asked of values that call themselves equal: an object can say so of everything.  Numbers of other
    libraries count by their value, other types than those of plain data as they say themselves.
    """
    if expected is None or expected is ... or isinstance(expected, bool):
        return got is expected or isinstance(expected, bool) and got == expected and str(got) == str(expected)
    if isinstance(expected, (bytes, bytearray)):
        return issubclass(type(got), (bytes, bytearray, memoryview)) and bytes(memoryview(got)) == bytes(expected)
    plain: tuple[Any, ...] = int, float, str
    for kind in plain:
        if isinstance(expected, kind) and issubclass(type(got), kind):
            return kind.__eq__(got, expected) is True           # not a method of `got`'s class
    if isinstance(expected, (int, float)):
        return issubclass(type(got), Number) and type(expected)(got) == expected
    if isinstance(expected, (list, tuple)):
        row: Any = list if isinstance(expected, list) else tuple
        return (issubclass(type(got), row) and row.__len__(got) == len(expected)
                and all(map(same, expected, row.__iter__(got))))
    if isinstance(expected, dict):
        return (isinstance(got, dict) and dict.keys(got) == expected.keys()
                and all(same(value, dict.__getitem__(got, key)) for key, value in expected.items()))
    return not isinstance(expected, str)


def is_array(value: object) -> bool:
    """Return whether a value is a library's array: to compare it gives another array, which is neither true nor false."""
    return hasattr(type(value), "__array__") and not issubclass(type(value), (Number, str, bytes))


def can_be_written(value: object) -> bool:
    """Return whether a value has a repr of its own: one with an address in memory differs each time."""
    return _own_text(value) is not None


def _written(value: object) -> str:
    """The value's repr; an object without one of its own is named by its type."""
    text = _own_text(value)
    return a_thing(type(value).__name__) if text is None else text


def _own_text(value: object) -> str | None:
    """The value's repr in one line, None if that says nothing or is too much for Python."""
    if type(value) is int and value.bit_length() > HUGE:
        return f"a whole number of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except (RecursionError, ValueError):        # lists in lists in lists; a number in a list that is too long to be written
        if type(value) in _WORDS:
            return f"{_WORDS[type(value)]} that is too deep or too long to be shown"
        raise
    if text.startswith("<") and " at 0x" in text:
        return None
    text = _PLACE.sub("", text)
    return text if text.isprintable() else " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _word(value: object) -> str:
    """What a value is, in words; numbers of a library count as Python's."""
    for kind, word in _WORDS.items():
        if type(value) is kind:
            return word
    if isinstance(value, Number) and not isinstance(value, complex):
        return _WORDS[int] if hasattr(value, "__index__") else _WORDS[float]
    library = type(value).__module__.partition(".")[0]
    return f"{library}'s {type(value).__name__}" if library == "numpy" else a_thing(type(value).__name__)


def a_thing(noun: str) -> str:
    """Return a noun with its article, by its first letter."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
