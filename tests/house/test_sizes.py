"""A file holds one idea, so it stays short: at most 350 lines, in the package and in its tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 350


def test_files_are_short():
    lengths = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
               for room in ("vmio", "tests") for path in (ROOT / room).rglob("*.py")}
    assert len(lengths) > 300
    assert [name for name, lines in lengths.items() if lines > MAX_LINES] == []
