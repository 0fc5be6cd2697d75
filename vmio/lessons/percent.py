"""The source of a lesson: Python in percent format, which editors show as cells.

A line `# %% [markdown]` starts a text cell (each line after `# `), `# %%` a code
cell, and three more pull in what has files of its own, so lesson and check cannot
drift:

    # %% [exercise] slug        its title and text
    # %% [stub] slug            its stub as a code cell
    # %% [quiz]                 the lesson's two questions, quiz.md

The first line keeps a source from being imported: it would run the lesson.
"""

GUARD = 'raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")'


def read(source: str) -> list[tuple[str, str]]:
    """Return the cells of a source as a list of (kind, text); the text of an exercise or a stub is its slug.

    Raises ValueError for an unknown kind of cell and for anything but `GUARD` before the first.
    """
    cells: list[tuple[str, str]] = []
    kind = slug = None
    lines: list[str] = []

    def close() -> None:
        text = "\n".join(lines).strip("\n")
        if kind is None and text not in ("", GUARD):
            raise ValueError(f"before the first cell is {text.splitlines()[0]!r}; allowed: {GUARD}")
        if slug and text:
            raise ValueError(f"under [{kind}] {slug} is {text.splitlines()[0]!r}; allowed: nothing, its folder says what it is.")
        if kind == "markdown":
            text = "\n".join(line[2:] if line.startswith("# ") else line.removeprefix("#") for line in text.split("\n"))
        if slug or kind and text.strip():
            cells.append((kind, slug or text))

    for line in source.splitlines():
        if line.startswith("# %%"):
            close()
            (kind, slug), lines = _kind(line), []
        else:
            lines.append(line.rstrip())
    close()
    return cells


def _kind(line: str) -> tuple[str, str | None]:
    """Return (kind, slug) of a line that starts a cell, the slug None where none belongs; raises ValueError."""
    match line[4:].split():
        case []:
            return "code", None
        case ["[markdown]"]:
            return "markdown", None
        case ["[quiz]"]:
            return "quiz", "quiz"
        case ["[exercise]" | "[stub]" as kind, slug]:
            return kind.strip("[]"), slug
    raise ValueError(f"cell is {line!r}; allowed after '# %%': nothing, [markdown], [exercise] slug, [stub] slug, [quiz].")
