"""The engine of the fuzzing run: lives of a machine, operations in a life, and what came of them.

A part is a module with a class `Machine(dice)`, and `KINDS`, names of what can be done to it (a
name that stands there twice is twice as likely):

    step(dice, kind)   one guest-visible action; what came of it, as plain data
    check()            what must hold after each action
    end()              the canaries, and an honest exchange after a reset

They raise only if the product is wrong.  All chance comes from `dice`, so a seed repeats a
run exactly; hypothesis plays the same machines with dice of its own (`states.py`).
"""

import hashlib
import random
import signal
import time
import traceback
from typing import NamedTuple

LIFE = 300            # operations of one machine
PATIENCE = 120        # seconds that a life may take before it counts as a hang


class Hang(Exception):
    """A life took longer than `PATIENCE`."""


def life_of(part):
    """A life of the part, as `run` wants it: `life(dice, operations, note)`."""
    def life(dice, operations, note):
        machine = part.Machine(dice)
        for _ in range(min(operations, getattr(part, "LIFE", LIFE))):
            note(machine.step(dice, dice.choice(part.KINDS)))
            machine.check()
        machine.end()
    return life


class Verdict(NamedTuple):
    """What a run of one part came to; `digest` is that of all outcomes in order."""

    part: str
    operations: int
    seconds: float
    outcomes: int
    findings: dict      # where it broke -> (life, how often, traceback)
    digest: str

    def __str__(self):
        verdict = "clean" if not self.findings else f"{len(self.findings)} FINDING(S)"
        return (f"{self.part:8} {self.operations:9,} operations {self.seconds:8.1f} s "
                f"{self.outcomes:6,} outcomes  {verdict}")


def run(name, life, operations, seed=1, patience=PATIENCE, max_findings=None):
    """`operations` of the part; a life that ends in an exception is recorded, and the next one begins.

    With `max_findings` the run ends after so many different ones.
    """
    outcomes, findings, digest, done = set(), {}, hashlib.sha256(), 0
    began, number = time.perf_counter(), 0
    while done < operations and (max_findings is None or len(findings) < max_findings):
        before = done

        def note(outcome):
            nonlocal done
            done += 1
            outcomes.add(outcome)
            digest.update(repr(outcome).encode())
        try:
            with _alarm(patience):
                life(random.Random(f"{name} {seed} {number}"), min(LIFE, operations - done), note)
        except Exception as error:  # noqa: BLE001  it is the finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {place.name}: {place.line}"
            first, times, text = findings.get(key, (number, 0, traceback.format_exc()))
            findings[key] = first, times + 1, text
        done += done == before          # a life that broke before its first operation counts as one
        number += 1
    return Verdict(name, done, time.perf_counter() - began, len(outcomes), findings, digest.hexdigest())


class _alarm:
    """A time limit, where the system has SIGALRM."""

    def __init__(self, seconds):
        self.seconds = seconds if hasattr(signal, "SIGALRM") else 0

    def __enter__(self):
        if self.seconds:
            signal.signal(signal.SIGALRM, self._ring)
            signal.alarm(self.seconds)

    def __exit__(self, *_):
        if self.seconds:
            signal.alarm(0)

    def _ring(self, *_):
        raise Hang(f"a life of more than {self.seconds} s")


def number(dice, bits):
    """A number of so many bits that likes borders."""
    most = (1 << bits) - 1
    kind = dice.randrange(5)
    if kind == 0:
        return dice.randrange(17) & most
    if kind == 1:
        return (1 << dice.randrange(bits)) + dice.choice((-1, 0, 1)) & most
    if kind == 2:
        return most - dice.randrange(9)
    return dice.getrandbits(bits)


def nearly(dice, layout, right, wrong=0.4, skip=("type", "padding")):
    """A message of `layout` with the fields `right`, of which now and then one or two are something else."""
    values = dict(right)
    fields = [field for field in layout.fields if field.name not in skip]
    while fields and dice.random() < wrong:
        field = dice.choice(fields)
        if isinstance(field.default, bytes):
            values[field.name] = dice.randbytes(field.size)
        else:
            values[field.name] = number(dice, 8 * field.size)
    return layout.pack(**values)


def bruised(dice, data, chance=0.2):
    """Bytes of which a few are different, or missing, now and then."""
    if data and dice.random() < chance:
        at = dice.randrange(len(data))
        if dice.random() < 0.5:
            return data[:at]
        return data[:at] + bytes([dice.randrange(256)]) + data[at + 1:]
    return data
