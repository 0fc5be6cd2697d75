"""`python -m tests.mutate`: small changes of the package, one at a time, and whether a test notices.  See docs/mutation.md."""

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.mutate import concern, operators, worker

ROOT = Path(__file__).resolve().parents[2]


def sample(root, room, count, seed):
    """[(path, Mutant), ...]: `count` mutants of a room by the seeded dice; the first of more are the same."""
    everything = [(str(path.relative_to(root)), mutant) for path in sorted((root / "vmio" / room).rglob("*.py"))
                  for mutant in operators.mutants(path.read_text(encoding="utf-8"))]
    random.Random(f"{seed} {room}").shuffle(everything)
    return list(itertools.islice(((path, mutant) for path, mutant in everything if operators.is_program(mutant.source)), count))


def accepted(root):
    """{name of a mutant: reason} of docs/mutation.md."""
    known, file = {}, root / "docs" / "mutation.md"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for head, was, now in zip(lines, lines[1:], lines[2:]):
        if was.startswith("    - ") and now.startswith("    + "):
            place, _, reason = head.strip().partition(": ")
            known[f"{place}: {was[6:].strip()} -> {now[6:].strip()}"] = reason
    return known


def name_of(path, mutant):
    """What a mutant is called: it stays the same while its line does, wherever that moves."""
    return f"{path} {mutant.function}".strip() + f": {mutant.was} -> {mutant.now}"


def arguments(words):
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--rooms", default="machine,vmbus,passthrough", help="folders of vmio, with commas between them")
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same sample (1)")
    parser.add_argument("--count", type=int, default=120, metavar="N", help="mutants of each room (120)")
    parser.add_argument("--resume", metavar="FILE", help="a journal: what is in it isn't run again, what is run is added")
    parser.add_argument("--again", action="store_true", help="run the journal's survivors again: are they killed now?")
    parser.add_argument("--list-survivors", action="store_true", help="run nothing; show the journal's survivors")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="of tests a mutant, at most (20)")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "vmio-mutants"), metavar="FOLDER",
                        help="for the scratch copy and the record of which test calls what")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    for room in options.rooms.split(","):
        if not (options.root / "vmio" / room).is_dir():
            parser.error(f"room {room!r}: no such folder in vmio")
    if options.count < 1 or options.seconds <= 0:
        parser.error("--count and --seconds are 1 or more")
    return options


class Journal:
    """Verdicts by name of mutant, also in a file if there is one; a later line takes the place of an earlier one."""

    def __init__(self, file):
        self.file, self.entries = file, {}
        if file and os.path.exists(file):
            with open(file, "r+b") as lines:
                whole = 0
                for line in lines.read().splitlines(keepends=True):
                    if not line.endswith(b"\n"):     # its run was killed in the middle of it
                        lines.truncate(whole)
                        break
                    whole += len(line)
                    entry = json.loads(line)
                    self.entries[entry["name"]] = entry

    def add(self, entry):
        self.entries[entry["name"]] = entry
        if self.file:
            with open(self.file, "a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")


def main(words=None):
    """One line a survivor, a table at the end; exit status 1 if a survivor isn't among the accepted ones."""
    options = arguments(words)
    rooms, root = options.rooms.split(","), options.root.resolve()
    chosen = {room: sample(root, room, options.count, options.seed) for room in rooms}
    journal, known = Journal(options.resume), accepted(root)
    if not options.list_survivors:
        again = {name for name, entry in journal.entries.items() if options.again and entry["verdict"] == worker.SURVIVED}
        todo = [(room, path, mutant) for room in rooms for path, mutant in chosen[room]
                if name_of(path, mutant) not in journal.entries or name_of(path, mutant) in again]
        _run(options, root, todo, journal, known)
    return _report(rooms, chosen, journal, known, options.list_survivors)


def _run(options, root, todo, journal, known):
    if not todo:
        return
    work = Path(options.work).resolve()
    if work == root or root in work.parents:
        raise SystemExit(f"--work {work}: that is within the checkout, which stays as it is; choose another folder")
    copy = str(work / "copy")
    worker.copy(root, copy)
    record = concern.Concern(root, copy, work / "concern.json")
    record.refresh(lambda text: print(text, file=sys.stderr, flush=True))
    record.index()
    scratch = worker.Copy(copy)
    for at, (room, path, mutant) in enumerate(todo, 1):
        started = time.monotonic()
        whole, verdict, by, tests = scratch.get(path), worker.SURVIVED, "", 0
        scratch.put(path, mutant.source)
        for names, seconds in record.choose(path, mutant.starts, options.seconds):
            verdict, by = worker.judge(copy, names, 30 + 10 * seconds)
            tests += len(names)
            if verdict != worker.SURVIVED:
                break
        scratch.put(path, whole)
        journal.add({"name": name_of(path, mutant), "room": room, "path": path, "line": mutant.line,
                     "operator": mutant.operator, "verdict": verdict, "by": by, "tests": tests,
                     "seconds": round(time.monotonic() - started, 2)})
        print(f"{at} of {len(todo)}: {verdict} {path}:{mutant.line} {by}", file=sys.stderr, flush=True)
        if verdict == worker.SURVIVED and name_of(path, mutant) not in known:
            _show(path, mutant, tests)


def _show(path, mutant, tests):
    place = f"{path} {mutant.function}".strip()
    print(f"    {place}: line {mutant.line}, survives {tests} tests\n    - {mutant.was}\n    + {mutant.now}", flush=True)


def _report(rooms, chosen, journal, known, list_survivors):
    print(f"{'room':<12} {'mutants':>8} {'killed':>7} {'timeout':>8} {'accepted':>9} {'survived':>9} {'noticed':>8}")
    left = 0
    for room in rooms:
        counts = dict.fromkeys((worker.KILLED, worker.TIMEOUT, "accepted", worker.SURVIVED), 0)
        for path, mutant in chosen[room]:
            name = name_of(path, mutant)
            entry = journal.entries.get(name)
            if entry is None:
                continue
            verdict = entry["verdict"]
            if verdict == worker.SURVIVED and name in known:
                verdict = "accepted"
            elif verdict == worker.SURVIVED and list_survivors:
                _show(path, mutant, entry["tests"])
            counts[verdict] += 1
        killed, timeout, equal, survived = counts.values()
        real = killed + timeout + survived
        share = f"{100 * (killed + timeout) / real:.1f} %" if real else "-"
        print(f"{room:<12} {real + equal:>8} {killed:>7} {timeout:>8} {equal:>9} {survived:>9} {share:>8}")
        left += survived
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
