"""What wants to look at a run watches its points (`machine/probes.py`): no code replaces a method of another object."""

import ast
from pathlib import Path

import pytest

import vmio

ROOM = Path(vmio.__file__).parent
# `attacks` takes a defence away, by `without`, which is its purpose; a checked answer runs in a process whose
# display and input `lab/inside.py` takes over.
FILES = sorted(path for path in ROOM.rglob("*.py")
               if path.relative_to(ROOM).parts[0] != "attacks" and path.relative_to(ROOM).as_posix() != "lab/inside.py")
# Attributes that are functions by declaration: what a part's owner is asked to set.
HOOKS = {"send": "of an MSI-X table, where its messages go; the one that wires the function up sets it",
         "may_send": "of a switch's port, its rule for sources; who has another sets it",
         "should_signal": "a ring's rule for signals, an argument of it", "room": "a SynIC's, of who posts into it",
         "unraisablehook": "of Python's `sys`, which is there to be set"}


def patches(source):
    """(line, attribute) where an attribute of something else than `self` becomes a function that is defined right there."""
    tree, found = ast.parse(source), []
    for outer in ast.walk(tree):
        if not isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        inner = {node.name for node in ast.walk(outer) if isinstance(node, ast.FunctionDef) and node is not outer}
        for node in ast.walk(outer):
            if isinstance(node, ast.Assign) and (isinstance(node.value, ast.Lambda)
                                                 or isinstance(node.value, ast.Name) and node.value.id in inner):
                found += [(target.lineno, target.attr) for target in node.targets if isinstance(target, ast.Attribute)
                          and not (isinstance(target.value, ast.Name) and target.value.id == "self")
                          and not target.attr.startswith("on_") and target.attr not in HOOKS]
    return sorted(set(found))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOM).as_posix())
def test_no_method_of_another_is_replaced(path):
    assert patches(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line, found", [
    ("def f(a):\n    def g(): pass\n    a.signal = g", [(3, "signal")]), ("def f(a):\n    a.b.serve = lambda: 1", [(2, "serve")]),
    ("def f(a):\n    def g(): pass\n    a.x = a.y = g", [(3, "x"), (3, "y")]), ("def f(self):\n    self.rule = lambda: 1", []),
    ("def f(a):\n    a.on_change = lambda: 1", []), ("def f(a):\n    a.value = 3", [])])
def test_replacements_are_found(line, found):
    assert patches(line) == found
