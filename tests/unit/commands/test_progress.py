"""The bar of what takes long: where it is seen, and that nothing fails without it."""

import io
import sys
from contextlib import redirect_stderr

import pytest

from vmio import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("VMIO_STRICT", "0")
    monkeypatch.setattr(progress, "AFTER_S", 0)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.delitem(sys.modules, "ipykernel")
    return Terminal()


def three_steps(terminal):
    with redirect_stderr(terminal), progress.bar(3, "reads") as step:
        for _ in range(3):
            step()


def test_a_terminal_shows_how_far_it_is_and_is_clean_at_the_end(terminal):
    pytest.importorskip("tqdm")
    three_steps(terminal)
    said = terminal.getvalue()
    assert "reads:   0%" in said and "0/3" in said
    assert said.endswith("\r") and said.rsplit("\r", 2)[1].strip() == ""


def test_what_ends_within_two_seconds_shows_nothing(terminal, monkeypatch):
    monkeypatch.setattr(progress, "AFTER_S", 2)
    three_steps(terminal)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("why", ["judged", "no terminal", "no tqdm"])
def test_elsewhere_there_is_none(terminal, monkeypatch, why):
    if why == "judged":
        monkeypatch.setenv("VMIO_STRICT", "1")
    elif why == "no terminal":
        monkeypatch.setattr(terminal, "isatty", lambda: False)
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    three_steps(terminal)
    assert terminal.getvalue() == ""
