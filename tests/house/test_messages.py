"""Messages have names: no code of the bus and its devices compares, waits for or registers a bare message number."""

import ast
from pathlib import Path

import pytest

import vmio

ROOM = Path(vmio.__file__).parent
FILES = sorted(path for room in ("vmbus", "drivers", "passthrough", "attacks", "experiments", "modes", "processors")
               for path in (ROOM / room).rglob("*.py"))
BY_NUMBER = ("_expect", "_ask", "_answer")     # methods that are given a message's number


def bare(source):
    """Return the lines on which a message's number stands as a bare integer."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "type":
            numbers = [part for each in node.comparators for part in getattr(each, "elts", [each])]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in BY_NUMBER:
            numbers = node.args[:2]
        elif isinstance(node, ast.Dict) and any(_handler(value) for value in node.values):
            numbers = node.keys
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and \
                any(isinstance(inner, ast.Attribute) and inner.attr == "type" for inner in node.args):
            numbers = getattr(node.func.value, "keys", [])
        else:
            continue
        found += [number.lineno for number in numbers if isinstance(number, ast.Constant) and isinstance(number.value, int)]
    return found


def _handler(value):
    """Is this a method that answers, alone or with the version that has it?"""
    value = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value
    return isinstance(value, ast.Name) and value.id.startswith("_") and not value.id.isupper()


@pytest.mark.parametrize("path", [path for path in FILES if "Message" in path.read_text()],
                         ids=lambda path: path.relative_to(ROOM).as_posix())
def test_messages_have_names(path):
    assert bare(path.read_text()) == []


def test_these_files_are_looked_at():
    looked = {path.relative_to(ROOM).as_posix() for path in FILES if "Message" in path.read_text()}
    assert {"vmbus/bus/server.py", "drivers/vmbus.py", "drivers/vpci.py", "passthrough/vpci_vsp.py"} <= looked


@pytest.mark.parametrize("line", [
    "self._expect(15)", "yield from self._ask(message, 4)", "self._answer(10, handle, channel)", "record.type == 1",
    "record.type in (1, 2)", "{3: (_request_offers, 0), 5: (_open, 0)}", '{6: "relid"}.get(record.type)'])
def test_a_bare_number_is_found(line):
    assert bare(line) == [1] * (2 if "5: (" in line or "(1, 2)" in line else 1)
