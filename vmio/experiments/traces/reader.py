"""From a file to requests: which form is it, which of its volumes is meant, at what time since the first one?"""

from pathlib import Path

from vmio.experiments.traces.fields import Wrong, shown
from vmio.experiments.traces.fio import Iolog
from vmio.experiments.traces.linux import Biosnoop, Blkparse
from vmio.experiments.traces.own import HEADER, Own
from vmio.experiments.traces.request import Form, Recognises, Trace
from vmio.experiments.traces.tables import TABLES
from vmio.experiments.traces.text import lines

FORMS: tuple[Recognises, ...] = (Own, Iolog, Biosnoop, Blkparse, *TABLES)
NAMES = ("blkparse", "biosnoop", "fio iolog version 2 and 3", *(table.name for table in TABLES))
LISTED = 20                     # volumes that a message names
MAX_NS = 1 << 62               # 146 years from the first line on


def load(path: str | Path, volume: str | None = None) -> Trace:
    """Return the `Trace` of a file: its requests of one volume, in order of time.

    Several traces are recorded in another order than requests were issued in, so those
    are sorted, requests of one time as in the file; only our own form keeps its
    order.  Times count from the first request.  `volume` may be left out if
    there is only one.  ValueError names the file, the line and what was expected.
    """
    form: Form | None = None
    first: int | None = None
    trace, chosen = Trace(path), volume
    counts: dict[str, int] = {}         # of requests, by volume
    for number, line in lines(path):
        try:
            if form is None:
                form = _recognise(line)
                trace.form = form.name
            for where, ns, request in form.rows(line):
                if chosen is None:
                    chosen = where
                counts[where] = counts.get(where, 0) + 1
                if where == chosen:
                    first = ns if first is None else first
                    if not -MAX_NS < ns - first < MAX_NS:
                        raise Wrong("a time more than a century from the first one")
                    trace.add(number, ns - first, request)
        except Wrong as wrong:
            what = f" ({form.name}: {form.units})" if form is not None and not isinstance(form, Own) else ""
            raise ValueError(f"trace {path}, line {number}: {wrong}{what}") from None
    if form is None:
        raise ValueError(f"trace {path}, line 1: (empty file); expected {HEADER!r} or {', '.join(NAMES)}")
    _check_volume(path, form, volume, counts)
    if not form.keeps_order:
        trace.sort_by_time()
    trace.times_from_zero()
    trace.volume = chosen or None
    return trace


def _recognise(line: str) -> Form:
    for form in FORMS:
        found = form.sees(line)
        if found is not None:
            return found
    raise Wrong(f"header '{shown(line)}'; expected {HEADER!r}, or the first line of {', '.join(NAMES)}")


def _check_volume(path: str | Path, form: Form, volume: str | None, counts: dict[str, int]) -> None:
    """ValueError unless it is clear which volume is meant."""
    if form.keeps_order and volume is None:
        return
    if not counts:
        raise ValueError(f"trace {path}: {form.name}, but no line is a request ({form.units})")
    if volume in counts or volume is None and len(counts) == 1:
        return
    if form.keeps_order:
        raise ValueError(f"trace {path}: volume {shown(str(volume))}: {form.name} has no volumes")
    listed = [f"{shown(name)} ({count} requests)" for name, count in
              sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    what = f"{len(counts)} volumes, choose one" if volume is None else f"no volume {shown(volume)}; there are"
    raise ValueError(f"trace {path}: {form.name}, {what}: {', '.join(listed[:LISTED])}{more}")
