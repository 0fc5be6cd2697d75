"""Checkpoints: the state of every part as plain data, and how it is checked before anybody believes it.

    CLOCK = Form("clock", 1, "now", "due")
    state = CLOCK.state(now=5, due=9)        {"version": 1, "now": 5, "due": 9}
    saved = CLOCK.take(state)                the same, or `CheckpointRefused` with one sentence

Plain data are None, booleans, whole numbers, text, bytes, lists of these, and dicts of these
by text; `to_json` and `from_json` turn them into JSON text and back.  The names in them are
those of a form, of an instruction, or of a wire; they are nobody's function or class.  A part
that has been given another meaning gets another version.
"""

import json
from enum import Enum
from typing import Any, TypeAlias

State: TypeAlias = dict[str, Any]      # of a part, as plain data


class CheckpointRefused(ValueError):
    """A state that can't be saved now, or can't be taken back here; the text is one sentence that says why."""


class Form:
    """What the state of one part consists of: its `entries`, in a version.  `what` is the part's name in messages."""

    def __init__(self, what: str, version: int, *entries: str) -> None:
        self.what, self.version, self.entries = what, version, entries

    def state(self, **values: Any) -> dict[str, Any]:
        """Return these values, one for each entry, with the version before them."""
        if values.keys() != set(self.entries):
            raise TypeError(f"{self.what}: entries {', '.join(values)}; the form has {', '.join(self.entries)}")
        return {"version": self.version, **values}

    def take(self, state: Any) -> dict[str, Any]:
        """Return the state if it is of this form; `CheckpointRefused` names what is unknown, missing or too new."""
        if not isinstance(state, dict):
            raise CheckpointRefused(f"checkpoint, {self.what}: {type(state).__name__} found, a dict belongs there")
        if state.get("version") != self.version:
            raise CheckpointRefused(f"checkpoint, {self.what}: version {state.get('version')!r}; version {self.version} can be read")
        known = {"version", *self.entries}
        for name in state:
            if name not in known:
                raise CheckpointRefused(f"checkpoint, {self.what}: unknown entry {name!r}; it has {', '.join(self.entries)}")
        for name in self.entries:
            if name not in state:
                raise CheckpointRefused(f"checkpoint, {self.what}: no entry {name!r}")
        return state


def same(what: str, saved: Any, here: Any) -> None:
    """Raise `CheckpointRefused` unless what was saved is what is here, once both are plain data."""
    if plain(saved, what) != plain(here, what):
        raise CheckpointRefused(f"checkpoint, {what}: saved with {saved!r}, here it is {here!r}")


def same_entries(what: str, saved: Any, here: Any) -> None:
    """Raise `CheckpointRefused` unless dicts in what was saved, also inside of others and in lists, have the entries that they have here."""
    if isinstance(here, dict):
        if not isinstance(saved, dict):
            raise CheckpointRefused(f"checkpoint, {what}: {saved!r}, where entries {', '.join(here)} belong")
        for name in [*saved, *here]:
            if name not in here or name not in saved:
                raise CheckpointRefused(f"checkpoint, {what}: {'no' if name in here else 'unknown'} entry {name!r}")
            same_entries(f"{what}, {name}", saved[name], here[name])
    elif isinstance(here, (list, tuple)) and isinstance(saved, (list, tuple)) and len(here) == len(saved):
        for mine, theirs in zip(here, saved):
            same_entries(what, theirs, mine)


def plain(value: Any, where: str = "checkpoint") -> Any:
    """Return a copy that consists of plain data only, sequences as lists; `CheckpointRefused` names what is none."""
    if value is None or type(value) in (bool, int, str, bytes):
        return value
    if isinstance(value, Enum) and type(value.value) in (int, str):
        return value.value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, dict):
        for name in value:
            if type(name) is not str:
                raise CheckpointRefused(f"{where}: the name {name!r} is no text")
        return {name: plain(each, f"{where}, {name}") for name, each in value.items()}
    try:
        members = list(value)
    except TypeError:
        raise CheckpointRefused(f"{where}: {type(value).__name__} is no plain data") from None
    return [plain(each, where) for each in members]


def to_json(state: Any) -> str:
    """Return plain data as JSON text; bytes become {"bytes": hexadecimal digits}."""
    return json.dumps(state, default=lambda value: {"bytes": value.hex()})


def from_json(text: str) -> Any:
    """Return the plain data that `to_json` wrote; ValueError for what is no JSON."""
    return json.loads(text, object_hook=lambda entry: bytes.fromhex(entry["bytes"]) if entry.keys() == {"bytes"} else entry)
