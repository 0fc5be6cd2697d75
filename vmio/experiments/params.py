"""Parameters declared once: from one declaration come the check, the command line, the sliders and the JSON schema.

    @dataclass(frozen=True)
    class Params:
        queue_depth: int = param(1, "requests in flight", low=1, high=1024)

    check(Params(queue_depth=0))       ValueError: queue_depth 0: 1 to 1,024
    check_effects(Params(...), mode)   ValueError for a value that changes nothing
    add_options(parser, Params)        --queue-depth N
    schema(Params)                     {"queue_depth": {"type": "integer", "minimum": 1, ...}}
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar

KINDS = {bool: "boolean", int: "integer", str: "string"}


Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Spec:
    """What is allowed for a parameter, and how it is said.

    `unit` such as "bytes"; `low` to `high` inclusive, whole `multiple`s; one of
    `choices`; `optional`: or None, in whose place `follows` has the value.  A control has steps of `multiple`, or with `scale` "log2"
    powers of two.  `modes` are those in which it has an effect (None: all), `idle_with` is a
    flag of the same dataclass beside which it has none.  `option` is its name on the
    command line if that is another, and `flag` the value that the bare option stands for.
    `was` is an old name, which is refused: see `known_by_new_names`.
    """

    help: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    multiple: int = 1
    choices: tuple = ()
    optional: bool = False
    follows: str = ""
    scale: str = "linear"
    modes: tuple | None = None
    idle_with: str = ""
    option: str | None = None
    flag: object = None
    was: str = ""

    def allowed(self) -> str:
        """Return the allowed values in words, or "" if any are."""
        if self.choices:
            return f"choose one of {', '.join(map(str, self.choices))}"
        words = f"{self.low:,} to {self.high:,}" if self.high is not None else f"at least {self.low:,}" if self.low is not None else ""
        return words + (f", a multiple of {self.multiple}" if self.multiple > 1 else "")

    def said(self, name: str, value: Any) -> str:
        """Return how the parameter `name` with this value is given on the command line."""
        option = "--" + (self.option or name).replace("_", "-")
        return option if self.flag is not None and value == self.flag else f"{option} {value}"

    def admits(self, value: Any) -> bool:
        """Return whether `value` is allowed."""
        if value is None:
            return self.optional
        if self.choices:
            return value in self.choices
        if self.low is not None and (not isinstance(value, int) or isinstance(value, bool) or value < self.low):
            return False
        return (self.high is None or value <= self.high) and (self.multiple == 1 or value % self.multiple == 0)


def param(default: Any, help: str, **about: Any) -> Any:
    """Declare a field of a dataclass; `about` are the other fields of its `Spec`."""
    return field(default=default, metadata={"spec": Spec(help, **about)})


def known_by_new_names(kind: type[Checked]) -> type[Checked]:
    """Let a dataclass say of a parameter's old name (`was`) what it is called now: a ValueError in place of a TypeError."""
    made, news = kind.__init__, {spec.was: name for name, spec in specs(kind).items() if spec.was}

    @wraps(made)
    def made_by_new_names(self: Any, *values: Any, **named: Any) -> None:
        for name in named.keys() & news.keys():
            raise ValueError(f"{name}: is called {news[name]} now")
        made(self, *values, **named)
    setattr(kind, "__init__", made_by_new_names)    # noqa: B010  of any class
    return kind


def specs(kind: Any) -> dict[str, Spec]:
    """Return {name: Spec} of a dataclass, in order of its fields."""
    return {one.name: one.metadata["spec"] for one in fields(kind) if "spec" in one.metadata}


def default(kind: Any, name: str) -> Any:
    """Return the declared value of the field `name` of a dataclass."""
    return next(one.default for one in fields(kind) if one.name == name)


def check(params: Checked) -> Checked:
    """Return `params` if every value is allowed; ValueError names the first that is not, its value and what is."""
    for name, spec in specs(params).items():
        value = getattr(params, name)
        if not spec.admits(value):
            raise ValueError(f"{name} {value!r}: {spec.allowed()}")
    return params


def check_named(guests: Sequence[Any], most: int) -> list[str]:
    """Return the names of `guests`, parameters each; ValueError unless there are 1 to `most` with different names, all of whose values are allowed."""
    names = [guest.name for guest in guests]
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise ValueError(f"guests {len(names)}: 1 to {most}, each with a name of its own")
    for guest in guests:
        try:
            check(guest)
        except ValueError as error:
            raise ValueError(f"guest {guest.name}, {error}") from None
    return names


def check_effects(params: Checked, mode: str) -> Checked:
    """Return `params` if each value other than the default has an effect in `mode`; ValueError names the option that has none.

    For a command line, where an option that changes nothing was a mistake.  A program that
    goes through the modes with one set of parameters may have some that only one of them heeds.
    """
    for one in fields(params):  # type: ignore[arg-type]  # a dataclass of `param`s
        spec, value = one.metadata["spec"], getattr(params, one.name)
        if value == one.default:
            continue
        if spec.modes is not None and mode not in spec.modes:
            raise ValueError(f"{spec.said(one.name, value)}: not in this mode, {mode}; only in {' and '.join(spec.modes)}")
        if spec.idle_with and getattr(params, spec.idle_with):
            raise ValueError(f"{spec.said(one.name, value)}: no effect beside {specs(params)[spec.idle_with].said(spec.idle_with, True)}")
    return params


def add_options(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Give an `argparse` parser one option for each parameter that the dataclass `kind` declares."""
    for one in fields(kind):
        if "spec" not in one.metadata:
            continue
        spec = one.metadata["spec"]
        name = "--" + (spec.option or one.name).replace("_", "-")
        where = f"{', '.join(spec.modes)}: " if spec.modes else ""
        if spec.flag is not None:
            parser.add_argument(name, action="store_const", const=spec.flag, default=one.default, dest=one.name,
                                help=_literal(where + spec.help))
            continue
        usual = f"by --{spec.follows.replace('_', '-')}" if spec.follows else one.default
        words = f"{where}{spec.help}" + (f", {spec.unit}" if spec.unit else "") + f" (default {usual})"
        parser.add_argument(name, type=_type(one), default=one.default, dest=one.name,
                            choices=spec.choices or None, help=_literal(words))


def _literal(text: str) -> str:
    """Return a help text of which argparse, whose own are formats, leaves each % as it is."""
    return text.replace("%", "%%")


def _type(one: Any) -> type:
    """The type of a field's values other than None."""
    spec = one.metadata["spec"]
    return type(one.default if one.default is not None else spec.choices[0] if spec.choices else spec.low)


def from_options(kind: Any, options: Any) -> Any:
    """Return the dataclass `kind` from what `argparse` has found."""
    return kind(**{name: getattr(options, name) for name in specs(kind)})


def schema(kind: Any, title: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the dataclass `kind` as plain data."""
    properties = {}
    for one in fields(kind):
        spec = one.metadata["spec"]
        named = KINDS[_type(one)]
        entry = properties[one.name] = {"type": [named, "null"] if spec.optional else named, "default": one.default,
                                        "description": spec.help}
        limits = {"minimum": spec.low, "maximum": spec.high, "multipleOf": spec.multiple if spec.multiple > 1 else None,
                  "enum": [*spec.choices, *[None] * spec.optional] if spec.choices else None, "unit": spec.unit or None, "modes": spec.modes and list(spec.modes)}
        entry.update({name: value for name, value in limits.items() if value is not None})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "type": "object",
            "properties": properties, "additionalProperties": False}
