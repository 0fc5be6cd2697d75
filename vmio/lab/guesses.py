"""What a student predicted: read as people write numbers, and kept where the student's copies are, past the kernel's end."""

import json
import operator
import os
import re
from collections.abc import Iterator, MutableMapping
from math import inf
from numbers import Integral, Real
from pathlib import Path

from vmio.lab.difference import Said, shown
from vmio.machine import files

WORK = "VMIO_WORK"          # lab.py sets it; without it (tests, a build) guesses live as long as the kernel
NAME = ".guesses.json"
LARGEST = 10**15            # of anything that a lesson counts
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_NUMBER = re.compile(r"(?:about|around|ca\.?|circa|approx\.?|roughly|~|≈|=)?\s*"
                     r"(?P<sign>[-+\u2212]?)\s*(?P<digits>0x[0-9a-f]+|[0-9.,'_\u00a0\u202f ]*[0-9](?:e[-+]?[0-9]+)?|[.,][0-9]+)"
                     r"\s*(?P<factor>[kmg]?)(?:\s+[a-z][a-z /%]*|\s*%)?[.!?]?", re.IGNORECASE)


def parse(text: object) -> int | float:
    """Return a guess as a number: 400, 1,000, 1 000, 1.5, 1,5, 0x200, 1e6, 2k, about 50 exits.

    A comma or a stop that stands before three digits and nothing else parts thousands if it is a comma; alone before
    any other number of digits it is the decimal one.  Raises ValueError with one sentence.
    """
    value: int | float
    if isinstance(text, Real) and not isinstance(text, bool):
        value = _value(text)
    else:
        plain = text.strip() if isinstance(text, str) else Said(shown(text))
        found = _NUMBER.fullmatch(plain)
        digits = _decimal(found["digits"].lower()) if found else ""
        if not found or not digits:
            raise ValueError(f"{plain[:30] if isinstance(plain, Said) else repr(plain[:30])} is no number; write one such as 400, 1,000 or 2.5.")
        value = (int(digits, 16) if digits.startswith("0x") else float(digits) if set(digits) & set(".e") else
                 int(digits[:20])) * _FACTORS[found["factor"].lower()]
        value = -value if found["sign"] in ("-", "\u2212") else value
    if not abs(value) <= LARGEST:
        raise ValueError(f"A guess is at most {LARGEST:,}; what is counted here is far smaller.")
    if value < 0:
        raise ValueError("What is counted is never below 0; write a number such as 400, 1,000 or 2.5.")
    return int(value) if value == int(value) else value


def _value(given: Real) -> int | float:
    """A number of any class as Python's own, infinite if it has no value."""
    try:
        return operator.index(given) if isinstance(given, Integral) else float(given)
    except (ValueError, OverflowError):
        return inf


def _decimal(digits: str) -> str:
    """The digits as Python reads them, "" if their commas and stops fit no way of writing numbers."""
    if digits.startswith("0x"):
        return digits
    mantissa, e, exponent = digits.partition("e")
    mantissa = re.sub(r"(?<=[0-9])[ '_\u00a0\u202f](?=[0-9])", "", mantissa)
    whole = r"[0-9]{1,3}"
    if re.fullmatch(rf"{whole}(,[0-9]{{3}})+(\.[0-9]+)?", mantissa):
        mantissa = mantissa.replace(",", "")                        # 1,000 and 1,000.5
    elif re.fullmatch(rf"{whole}(\.[0-9]{{3}}){{2,}}|{whole}(\.[0-9]{{3}})+,[0-9]+", mantissa):
        mantissa = mantissa.replace(".", "").replace(",", ".")      # 1.000.000 and 1.000,5
    elif re.fullmatch(r"[0-9]*,[0-9]+", mantissa):
        mantissa = mantissa.replace(",", ".")                       # 1,5
    elif not re.fullmatch(r"[0-9]*\.?[0-9]+", mantissa):
        return ""
    return mantissa + e + exponent


class Guesses(MutableMapping[str, int | float]):
    """Guesses by their question's name; kept in a file of the student's folder, which other kernels write too."""

    def __init__(self) -> None:
        self._known: dict[str, int | float] = {}
        self.unkept = ""        # why the last guess is in no file, though the student has a folder: "No space left on device"

    def _file(self) -> Path | None:
        folder = os.environ.get(WORK)
        return Path(folder, NAME) if folder and os.path.isdir(folder) else None

    def _now(self) -> dict[str, int | float]:
        """What is known, that of the file included; a file that nobody of us wrote counts as none."""
        file = self._file()
        if file is not None:
            try:
                kept = json.loads(file.read_text(encoding="utf-8"))
                self._known = {str(slug): parse(value) for slug, value in kept.items()}
            except (OSError, ValueError, AttributeError):
                pass
        return self._known

    def _keep(self) -> None:
        file, self.unkept = self._file(), ""
        if file is not None:
            try:
                files.write_text(str(file), json.dumps(self._known, sort_keys=True) + "\n")
            except (OSError, ValueError) as error:      # a full or read-only disk: the guess lives as long as the kernel
                self.unkept = getattr(error, "strerror", None) or str(error)

    def __getitem__(self, slug: str) -> int | float:
        return self._now()[slug]

    def __setitem__(self, slug: str, value: int | float) -> None:
        self._now()[slug] = value
        self._keep()

    def __delitem__(self, slug: str) -> None:
        del self._now()[slug]
        self._keep()

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())
