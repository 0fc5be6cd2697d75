"""A guest's driver sees its CPU and nothing of what that runs on; the rings that it shares are windows of its CPU."""

import ast
from pathlib import Path

import pytest

import vmio
from tests.bus_rig import echoes, machine, run

DRIVERS = sorted((Path(vmio.__file__).parent / "drivers").rglob("*.py"))
HIDDEN = {"guest", "host", "memory", "slat", "env"}


@pytest.mark.parametrize("path", DRIVERS, ids=lambda path: path.name)
def test_a_driver_knows_no_guest_and_no_memory(path):
    used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not used & HIDDEN


def test_rings_are_windows_of_the_cpu():
    host, guest, _, _ = machine()
    windows, window = [], guest.cpu.window

    def watched(pages):
        windows.append((tuple(pages), window(pages)))
        return windows[-1][1]
    guest.cpu.window = watched
    client, echo = run(host, guest, echoes(pages=3))
    (out, first), (back, second) = windows
    assert (len(out), len(back), back[0]) == (3, 3, out[-1] + 1)
    assert (echo.end.outgoing.memory, echo.end.incoming.memory) == (first, second)
    assert first.load32(0) == guest.cpu.load(out[0] << 12, 4) == first.indices()[0] > 0
