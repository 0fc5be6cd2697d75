"""A short run of every part, with a fixed seed; `python -m tests.fuzz` is the long one."""

import pytest

from tests.fuzz.__main__ import PARTS, life_of, main
from tests.fuzz.engine import run


@pytest.mark.parametrize("part", PARTS)
def test_a_short_run_is_clean(part):
    verdict = run(part, life_of(part), 1500, seed=5)
    assert not verdict.findings, "\n".join(text for _, _, text in verdict.findings.values())
    assert verdict.operations >= 1500 and verdict.outcomes > 20


@pytest.mark.parametrize("part", PARTS)
def test_a_seed_is_a_run(part):
    first, second = (run(part, life_of(part), 120, seed=9) for _ in range(2))
    assert first.digest == second.digest != run(part, life_of(part), 120, seed=10).digest


def test_a_finding_is_told_and_the_run_goes_on():
    def life(dice, operations, note):
        note("fine")
        raise KeyError("what no device may raise")
    verdict = run("sample", life, 10)
    (key, (first, times, text)), = verdict.findings.items()
    assert (verdict.operations, first, times) == (10, 0, 10) and "KeyError" in key and "FINDING" in str(verdict)


def test_the_command_prints_a_line_a_part(capsys):
    assert main(["--only", "ring", "--only", "ata", "--operations", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [text.split()[0] for text in lines] == ["ring", "ata"] and all(text.endswith("clean") for text in lines)
