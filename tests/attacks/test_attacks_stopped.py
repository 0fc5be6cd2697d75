"""`vmio attack` that is stopped prints what has ended; the exit status says that it is not all."""

import pytest

from vmio.__main__ import main
from vmio.attacks import report
from vmio.experiments import many


@pytest.mark.parametrize("options, lines", [([], 1), (["--json"], 0)])
def test_what_has_ended_is_printed(monkeypatch, capsys, options, lines):
    first, second, *_ = report.attacks()

    def stops(experiment, points, kept, what):
        assert points[:2] == [first, second]
        kept[first] = experiment(first)
        raise KeyboardInterrupt
    monkeypatch.setattr(many, "run", stops)
    assert main(["attack", *options]) == 130
    said = capsys.readouterr()
    assert said.err == "vmio attack: ended by SIGINT\n"
    assert said.out.count(first) == lines and second not in said.out and '"holds"' not in said.out
