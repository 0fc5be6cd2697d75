"""The mutation tool: which mutants it makes, that its dice are seeded, and one whole run over a package of two rooms."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutate import __main__ as mutate
from tests.mutate import operators, worker

CHECKOUT = Path(__file__).resolve().parents[3]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the tool's runs are forked; this system has no fork")

SOURCE = '''"""Docstring 1."""

LIMIT = 7


class Counter:
    def __init__(self):
        self.count = 0

    def add(self, n=1, wide=False):
        """Docstring 2."""
        if n < LIMIT and not wide:
            self.count += n
            return self.count & 0xFF
        raise ValueError(f"{n + 1} is too much")

    def __repr__(self):
        return "Counter" + str(1)
'''


def made(operator):
    return {(mutant.line, mutant.now) for mutant in operators.mutants(SOURCE) if mutant.operator == operator}


def test_each_operator_and_what_is_left_alone():
    assert made("comparison") == {(12, "if n <= LIMIT and not wide:")}
    assert made("and-or") == {(12, "if n < LIMIT or not wide:")}
    assert made("operand") == {(12, "if True and not wide:"), (12, "if n < LIMIT and True:")}
    assert made("unary") == {(12, "if n < LIMIT and (wide):")}
    assert made("branches") == {(12, "if (not (n < LIMIT and not wide)):")}
    assert made("arithmetic") == {(13, "self.count -= n"), (14, "return self.count | 0xFF")}
    assert made("return") == {(14, "return None")}
    assert made("statement") == {(8, "pass"), (13, "pass"), (15, "pass")}
    assert made("constant") == {
        (3, "LIMIT = 8"), (3, "LIMIT = 6"), (8, "self.count = 1"), (10, "def add(self, n=2, wide=False):"),
        (10, "def add(self, n=0, wide=False):"), (10, "def add(self, n=1, wide=True):"),
        (14, "return self.count & 256"), (14, "return self.count & 254")}
    assert {mutant.function for mutant in operators.mutants(SOURCE)} == {"", "Counter.__init__", "Counter.add"}
    assert {mutant.starts for mutant in operators.mutants(SOURCE)} == {0, 7, 10}


def test_a_mutant_differs_from_the_module_in_its_place_only():
    for mutant in operators.mutants(SOURCE):
        lines = SOURCE.splitlines(), mutant.source.splitlines()
        assert len(lines[0]) == len(lines[1]) and operators.is_program(mutant.source)
        changed = [n for n, (old, new) in enumerate(zip(*lines), 1) if old != new]
        assert changed == [mutant.line]
        assert (lines[0][mutant.line - 1].strip(), lines[1][mutant.line - 1].strip()) == (mutant.was, mutant.now)
    assert not operators.is_program("def f(:\n    pass\n")


@pytest.mark.parametrize("source, now", [
    ("x = (a +\n     b)", "x = (a -"), ("f(a,\n  b)", "pass"), ("x = a is not b", "x = a is b"), ("x = 'é' if a in b else c", "x = 'é' if a not in b else c"),
    ("del a[1]", "pass"), ("x = [i for i in a if i.ok]", "x = [i for i in a if True]"), ("x = ~a", "x = (a)"),
    ("while a.go():\n    continue", "while (not (a.go())):"), ("while a:\n    continue", "break"), ("a.b = c", "pass")])
def test_further_shapes(source, now):
    assert now in {mutant.now for mutant in operators.mutants(source)}


def test_a_sample_is_the_same_for_the_same_seed_and_grows_at_its_end():
    names = [[mutate.name_of(*each) for each in mutate.sample(CHECKOUT, "machine", count, seed)]
             for count, seed in ((12, 1), (12, 1), (20, 1), (12, 2))]
    assert names[0] == names[1] == names[2][:12] and names[0] != names[3] and len(set(names[2])) == 20


def package(folder):
    """A checkout with two rooms: one whose tests notice everything, and one whose tests look at nothing."""
    files = {"vmio/__init__.py": "", "vmio/good/__init__.py": "", "vmio/bad/__init__.py": "",
             "vmio/good/sums.py": "def add(a, b):\n    return a + b\n",
             "vmio/bad/sums.py": "def sub(a, b):\n    if b:\n        a = a - b\n    return a\n",
             "conftest.py": "", "tests/unit/test_sums.py":
             "from vmio.good.sums import add\nfrom vmio.bad.sums import sub\n\n\ndef test_add():\n    assert add(2, 3) == 5\n\n\n"
             "def test_sub():\n    sub(3, 2)\n",
             "docs/mutation.md": "    vmio/bad/sums.py sub: nobody looks at the result\n    - return a\n    + return None\n"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tool(root, work, *words):
    return subprocess.run([sys.executable, "-m", "tests.mutate", "--root", str(root), "--work", str(work), "--rooms", "good,bad",
                           *words], cwd=CHECKOUT, capture_output=True, text=True)


@needs_fork
def test_a_whole_run_resumed(tmp_path, capsys):
    """Survivors are shown, accepted ones are not; the journal goes on after half a line; the checkout stays as it was."""
    before = package(root := tmp_path / "checkout")
    journal = tmp_path / "journal"
    first = tool(root, tmp_path / "work", "--count", "2", "--resume", str(journal))
    assert len(journal.read_text().splitlines()) == 4, first.stderr
    journal.write_text(journal.read_text() + '{"name": "vmio/good')
    run = tool(root, tmp_path / "work", "--count", "9", "--resume", str(journal))
    assert run.returncode == 1, run.stderr
    rows = {words[0]: words[1:] for words in map(str.split, run.stdout.splitlines()[-2:])}
    assert rows["good"] == ["2", "2", "0", "0", "0", "100.0", "%"]
    assert rows["bad"] == ["3", "0", "0", "1", "2", "0.0", "%"]
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(entries) == 5 and [entry["verdict"] for entry in entries].count("survived") == 3
    assert {entry["by"] for entry in entries if entry["room"] == "good"} == {"tests/unit/test_sums.py::test_add"}
    words = ["--root", str(root), "--rooms", "good,bad", "--count", "9", "--resume", str(journal), "--list-survivors"]
    assert mutate.main(words) == 1
    listed = capsys.readouterr().out
    assert listed.count("    - ") == 2 and "+ return None" not in listed
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@needs_fork
def test_what_runs_for_ever_is_killed_and_what_can_not_be_imported_is_noticed(tmp_path):
    (tmp_path / "test_loop.py").write_text("def test_loop():\n    while True:\n        pass\n")
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n")
    assert worker.judge(str(tmp_path), ["test_loop.py::test_loop"], 1) == ("timeout", "")
    assert worker.judge(str(tmp_path), ["test_broken.py::test_x"], None) == ("killed", "test_broken.py")


@pytest.mark.parametrize("words, said", [(("--rooms", "nowhere"), "room 'nowhere': no such folder"), (("--count", "0"), "--count"),
                                         (("--work", str(CHECKOUT / "vmio")), "within the checkout")])
def test_bad_input_is_one_sentence(capsys, words, said):
    with pytest.raises(SystemExit) as caught:
        mutate.main(["--count", "1", *words])
    assert said in capsys.readouterr().err + str(caught.value)
