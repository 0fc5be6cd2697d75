"""The function that stands in an attack's way."""

import inspect
from importlib import import_module


def code_of(check):
    """The code of the function that a `Check` names."""
    found = import_module(check.module)
    for part in check.function.split("."):
        found = getattr(found, part)
    return inspect.unwrap(found).__code__
