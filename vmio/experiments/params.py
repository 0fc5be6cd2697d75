"""Parameters declared once: from one declaration come the check, the command line, the sliders and the JSON schema.

    @dataclass(frozen=True)
    class Params:
        queue_depth: int = param(1, "requests in flight", low=1, high=1024)

    check(Params(queue_depth=0))       ValueError: queue_depth 0: 1 to 1,024
    check_effects(Params(...), mode)   ValueError for a value that changes nothing
    add_options(parser, Params)        --queue-depth N
    schema(Params)                     {"queue_depth": {"type": "integer", "minimum": 1, ...}}
"""

from dataclasses import dataclass, field, fields

KINDS = {bool: "boolean", int: "integer", str: "string"}


@dataclass(frozen=True)
class Spec:
    """What is allowed for a parameter, and how it is said.

    `unit` such as "bytes"; `low` to `high` inclusive, whole `multiple`s; one of
    `choices`.  `modes` are those in which it has an effect (None: all), `idle_with` is a
    flag of the same dataclass beside which it has none.  `option` is its name on the
    command line if that is another, and `flag` the value that the bare option stands for.
    """

    help: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    multiple: int = 1
    choices: tuple = ()
    modes: tuple | None = None
    idle_with: str = ""
    option: str | None = None
    flag: object = None

    def allowed(self):
        """Return the allowed values in words, or "" if any are."""
        if self.choices:
            return f"choose one of {', '.join(map(str, self.choices))}"
        words = f"{self.low:,} to {self.high:,}" if self.high is not None else f"at least {self.low:,}" if self.low is not None else ""
        return words + (f", a multiple of {self.multiple}" if self.multiple > 1 else "")

    def said(self, name, value):
        """Return how the parameter `name` with this value is given on the command line."""
        option = "--" + (self.option or name).replace("_", "-")
        return option if self.flag is not None and value == self.flag else f"{option} {value}"

    def admits(self, value):
        """Return whether `value` is allowed."""
        if self.choices:
            return value in self.choices
        if self.low is not None and (not isinstance(value, int) or isinstance(value, bool) or value < self.low):
            return False
        return (self.high is None or value <= self.high) and (self.multiple == 1 or value % self.multiple == 0)


def param(default, help, **about):
    """Declare a field of a dataclass; `about` are the other fields of its `Spec`."""
    return field(default=default, metadata={"spec": Spec(help, **about)})


def specs(kind):
    """Return {name: Spec} of a dataclass, in order of its fields."""
    return {one.name: one.metadata["spec"] for one in fields(kind)}


def check(params):
    """Return `params` if every value is allowed; ValueError names the first that is not, its value and what is."""
    for name, spec in specs(params).items():
        value = getattr(params, name)
        if not spec.admits(value):
            raise ValueError(f"{name} {value!r}: {spec.allowed()}")
    return params


def check_effects(params, mode):
    """Return `params` if each value other than the default has an effect in `mode`; ValueError names the option that has none.

    For a command line, where an option that changes nothing was a mistake.  A program that
    goes through the modes with one set of parameters may have some that only one of them heeds.
    """
    for one in fields(params):
        spec, value = one.metadata["spec"], getattr(params, one.name)
        if value == one.default:
            continue
        if spec.modes is not None and mode not in spec.modes:
            raise ValueError(f"{spec.said(one.name, value)}: not in this mode, {mode}; only in {' and '.join(spec.modes)}")
        if spec.idle_with and getattr(params, spec.idle_with):
            raise ValueError(f"{spec.said(one.name, value)}: no effect beside {specs(params)[spec.idle_with].said(spec.idle_with, True)}")
    return params


def add_options(parser, kind):
    """Give an `argparse` parser one option for each parameter of the dataclass `kind`."""
    for one in fields(kind):
        spec = one.metadata["spec"]
        name = "--" + (spec.option or one.name).replace("_", "-")
        where = f"{', '.join(spec.modes)}: " if spec.modes else ""
        if spec.flag is not None:
            parser.add_argument(name, action="store_const", const=spec.flag, default=one.default, dest=one.name,
                                help=where + spec.help)
            continue
        words = f"{where}{spec.help}" + (f", {spec.unit}" if spec.unit else "") + f" (default {one.default})"
        parser.add_argument(name, type=type(one.default), default=one.default, dest=one.name,
                            choices=spec.choices or None, help=words)


def from_options(kind, options):
    """Return the dataclass `kind` from what `argparse` has found."""
    return kind(**{name: getattr(options, name) for name in specs(kind)})


def schema(kind, title):
    """Return the JSON schema (draft 2020-12) of the dataclass `kind` as plain data."""
    properties = {}
    for one in fields(kind):
        spec = one.metadata["spec"]
        entry = properties[one.name] = {"type": KINDS[type(one.default)], "default": one.default, "description": spec.help}
        limits = {"minimum": spec.low, "maximum": spec.high, "multipleOf": spec.multiple if spec.multiple > 1 else None,
                  "enum": list(spec.choices) or None, "unit": spec.unit or None, "modes": spec.modes and list(spec.modes)}
        entry.update({name: value for name, value in limits.items() if value is not None})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "type": "object",
            "properties": properties, "additionalProperties": False}
