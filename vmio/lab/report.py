"""The report that a student writes at the end of a lab: its questions, the run's tables and figures, the student's answers.

    report = Report("L1 · Store in a cloud", ["Who suffers most, and why?", "Which policy would you sell?"])
    report.table("Latency by policy", ("policy", "p99 us"), rows)       # of a run
    report.chart(panel.charts[0])                                       # a figure
    report.panel("My own setting", panel)                               # all that a panel shows now
    report.answer(1, "The guest with ...")
    report.save("my_report")                                            # a new folder

The folder holds `report.md`, each table as CSV with its numbers as they were counted, and each figure as PNG and SVG.
What a student changes in `report.md` afterwards stays: no report is ever written over another.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from vmio.lab import charts, printed
from vmio.lab.panel import Panel
from vmio.machine.contracts import FileName
from vmio.machine.folder import write_new_folder
from vmio.table import number

TO_DO = "*(your answer)*"
TEXT = "report.md"


class Report:
    """A report with a title and `questions`; what is added stands in it in the order in which it came."""

    def __init__(self, title: str, questions: Sequence[str]) -> None:
        if isinstance(questions, str) or not questions:
            raise ValueError(f"questions is {questions!r}; a report needs a list of one question or more")
        self.title, self.questions = title, tuple(questions)
        self.answers: dict[int, str] = {}
        self._parts: list[str] = []                 # of the text, in Markdown
        self._texts: dict[str, str] = {}            # CSV by file name
        self._charts: dict[str, charts.Chart] = {}  # figures by file name, without its ending

    def answer(self, question: int, text: str) -> None:
        """Answer a question, the first is 1; a later answer replaces an earlier one."""
        if isinstance(question, bool) or not isinstance(question, int) or not 1 <= question <= len(self.questions):
            raise ValueError(f"question {question!r}: this report has the questions 1 to {len(self.questions)}")
        if not isinstance(text, str):
            raise ValueError(f"the answer to question {question} is {text!r}; an answer is text")
        self.answers[question] = text.strip()

    def table(self, title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add a table; in the text its numbers are rounded as everywhere, in its CSV file they are not.

        Raises ValueError for a row that has not one cell for each of `headers`.
        """
        found = [list(row) for row in rows]
        for row in found:
            if len(row) != len(headers):
                raise ValueError(f"row {row!r} of the table {title!r} has {len(row)} cells, the table has {len(headers)} columns")
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(headers)
        writer.writerows(["" if cell is None else cell for cell in row] for row in found)
        lines = [headers, ["---"] * len(headers), *([("-" if cell is None else number(cell)) for cell in row] for row in found)]
        self._add(title, "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines), self._csv(title, out.getvalue()))

    def chart(self, chart: charts.Chart | None) -> None:
        """Add a figure (`vmio.lab.charts`); ValueError for None, which is a figure with nothing to show."""
        if chart is None:
            raise ValueError("the chart is None: at this setting it has nothing to show")
        name = self._name(chart["title"])
        self._charts[name] = chart
        self._add(chart["title"], f"![{_cell(charts.sentence(chart))}]({name}.png)", f"({name}.svg is the same, for print.)")

    def panel(self, title: str, panel: Panel) -> None:
        """Add what a panel shows now: its settings and readout, its figures, and all its numbers as CSV."""
        said = panel.text.rstrip()
        settings = "\n".join(f"{control.label}: {panel.params[name]}" for name, control in panel.controls.items())
        self._add(title, f"```text\n{settings}\n\n{said}\n```", self._csv(title, panel.csv()))
        for chart in panel.charts:
            if chart is not None:
                self.chart(chart)

    @property
    def text(self) -> str:
        """The whole report in Markdown; a question without an answer has a place for one."""
        asked = [f"### {at}. {question}\n\n{self.answers.get(at) or TO_DO}" for at, question in enumerate(self.questions, 1)]
        return "\n\n".join([f"# {self.title}", "## Questions", *asked, *(["## What was counted", *self._parts] if self._parts else [])]) + "\n"

    def save(self, folder: FileName) -> str:
        """Write all of it into a new folder, whole or not at all; returns a sentence that says what was written.

        For "" nothing is written, and the sentence says so.  ValueError if something has that name, or it can't be one; OSError if
        the folder can't be written.
        """
        name = os.fsdecode(folder)
        if not name:
            return f"Nothing is written yet: {self._state()}. Give it the name of a new folder."
        contents: dict[str, bytes] = {TEXT: self.text.encode(), **{each: text.encode() for each, text in self._texts.items()}}
        for each, chart in self._charts.items():
            contents |= {f"{each}.svg": printed.svg(chart).encode(), f"{each}.png": printed.png(chart)}
        write_new_folder(name, contents)
        return f"{name}/{TEXT} is written: {self._state()}."

    def _state(self) -> str:
        given = sum(bool(text) for text in self.answers.values())
        return f"{given} of {len(self.questions)} questions answered, {_many(len(self._texts), 'CSV file')}, {_many(len(self._charts), 'figure')}"

    def _add(self, title: str, *parts: str) -> None:
        self._parts.append("\n\n".join([f"### {title}", *parts]))

    def _csv(self, title: str, text: str) -> str:
        """Keep a CSV file; returns the line of the text that names it."""
        name = f"{self._name(title)}.csv"
        self._texts[name] = text
        return f"(All digits: {name}.)"

    def _name(self, title: str) -> str:
        """A file's name for what has this title, with a number, so that no two are one."""
        return f"{len(self._texts) + len(self._charts) + 1:02}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-') or 'part'}"[:60]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, or the words of a picture: on one line, without what would end it."""
    return re.sub(r"([|\[\]])", r"\\\1", " ".join(str(text).split()))
