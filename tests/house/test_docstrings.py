"""What a public function says of itself is a sentence: one that gives something back begins with what it does."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# With these a docstring would name the thing that comes back, and leave out that the function gives it.
NAMES_A_THING = {"The", "A", "An", "What", "One", "All", "How", "Where", "Which", "Whose", "Its", "Every", "Each", "Whether", "Who", "Bytes",
                 "Plain", "Both", "Any", "Everything", "No", "Another", "Lines"}
VERBS = {"has", "have", "is", "are", "was", "were", "may", "must", "can", "does", "had"}      # early in it, one makes a sentence
# Rooms that don't keep this yet.  Only shrinks.
LOOSE = ("vmio/lessons", "vmio/lab")
# Rooms whose docstrings also begin with a word: "Return (address, data) of ...", not "(address, data) of ...".  Only grows.
BEGIN_WITH_A_WORD = ("vmio/hypervisor", "vmio/machine", "vmio/passthrough", "vmio/processors", "vmio/boot", "vmio/linux", "vmio/firmware")


def gives_back(function):
    """A property names a thing, and so may who only does something, or gives a context to do it in."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    returned = ast.unparse(function.returns).strip("'\"") if function.returns else "None"
    return not (any(word in each for each in decorators for word in ("property", "setter", "contextmanager"))
                or returned == "None" or returned.startswith(("Steps", "AbstractContextManager", "NoReturn")))


def phrases(text, by_a_word=False):
    """Yield (line, name, first line) of each docstring that names a thing and should be a sentence; `by_a_word`: and of each
    that begins with a value, `code` or a bracket."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_") and gives_back(node):
            said = ast.get_docstring(node) or ""
            first, *more = said.split()[:6] or [""]
            if first in NAMES_A_THING and not VERBS & set(more) or by_a_word and said and not said[0].isalpha():
                yield node.lineno, node.name, said.splitlines()[0]


def test_who_gives_something_back_says_so():
    found = [f"{path.relative_to(ROOT)}:{line} {name}: {said}" for path in sorted((ROOT / "vmio").rglob("*.py"))
             if "exercises" not in path.parts and path.name != "lesson.py"
             and not path.relative_to(ROOT).as_posix().startswith(LOOSE)
             for line, name, said in phrases(path.read_text(encoding="utf-8"),
                                             path.relative_to(ROOT).as_posix().startswith(BEGIN_WITH_A_WORD))]
    assert found == []


@pytest.mark.parametrize("function, found", [
    ('def f() -> int:\n    """The number of guests."""\n', 1),
    ('def f() -> int:\n    """Return the number of guests."""\n', 0),
    ('@property\ndef f() -> int:\n    """The number of guests."""\n', 0),
    ('def f() -> None:\n    """The guest has opened the channel."""\n', 0),
    ('def f() -> bool:\n    """A frame has left the card."""\n', 0),
    ('def _f() -> int:\n    """The number of guests."""\n', 0),
])
def test_the_rule_sees_what_it_should(function, found):
    assert len(list(phrases(function))) == found


@pytest.mark.parametrize("said", ["(address, data) of a message.", "`length` bytes.", "16 bytes for an entry.", "{name: count}."])
def test_a_value_is_no_beginning_of_a_sentence(said):
    function = f'def f() -> int:\n    """{said}"""\n'
    assert [len(list(phrases(function, by_a_word))) for by_a_word in (False, True)] == [0, 1]
    assert not list(phrases(function.replace(said, f"Return {said}"), True))
