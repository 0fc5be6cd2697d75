"""Whatever an answer does, its check ends with one of the four outcomes, and the process that asked is what it was."""

import builtins
import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.lab import apart
from vmio.lab.check import ERROR, PASS, WRONG, exercise

forks = pytest.mark.skipif(not apart.CAN_FORK, reason="this system can't fork, so only loops in Python are stopped")
CHECK = """
from vmio.lab.check import expect
def check(double):
    for n in (3, 4):
        got = double(n)
        if hasattr(got, "__next__"):
            got = list(got)
        hash(got)
        expect(got, 2 * n, given=n)
    return "Doubled."
"""
FILES = {"text.md": "# Double it\nReturn 2 n.\n## Hint\nAdd.\n", "stub.py": "def double(n):\n    ...\n", "check.py": CHECK,
         "solution.py": "def double(n):\n    return 2 * n\n", "wrong.py": "def double(n):\n    return n\n"}


@pytest.fixture
def ex(tmp_path):
    (tmp_path / "double").mkdir()
    for name, text in FILES.items():
        (tmp_path / "double" / name).write_text(text, encoding="utf-8")
    one = exercise("double", folder=tmp_path)
    one.steps, one.limits = 50_000, apart.Limits(compute_s=1, wait_s=0.5, wall_s=60, memory_mib=128, characters=1000)
    return one


def cell(text, name="double"):
    """What a learner's cell defines, with `text` indented as the body of `double(n)` unless it defines that itself."""
    if "def double" not in text and "double =" not in text:
        text = "def double(n):\n" + "".join(f"    {line}\n" for line in text.splitlines())
    space = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    return space[name]


def kind_and_reason(outcome):
    """The outcome and its reason; which input broke the answer stands at the end of most, and of all that raise."""
    text = outcome.text.removeprefix("double: error in your code")
    return outcome.kind, re.sub(r"\.? The input was n=3\.$", "", text)


LEAVES = {
    "exit": ("exit()", ", line 2: SystemExit: None"), "quit": ("quit(5)", ", line 2: SystemExit: 5"),
    "sys.exit": ("import sys\nsys.exit(3)", ", line 3: SystemExit: 3"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", ", line 2: KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit('x')", ", line 2: GeneratorExit: x"),
    "own BaseException": ("class Out(BaseException): pass\nraise Out('gone')", ", line 3: Out: gone"),
    "StopIteration": ("next(iter(()))", ", line 2: StopIteration"),
    "what can't be said": ("class Mute(Exception):\n    def __str__(self): raise SystemExit\nraise Mute", ", line 4: Mute"),
    "too long a string": ("return 'a' * 10**12", ", line 2: MemoryError: an answer needs far less memory than it asked for"),
}


@pytest.mark.parametrize("case", LEAVES)
@pytest.mark.parametrize("can_fork", [pytest.param(True, marks=forks), False])
def test_what_leaves_an_answer_is_an_error_of_one_line(case, can_fork, ex, monkeypatch):
    monkeypatch.setattr(apart, "CAN_FORK", can_fork)
    text, said = LEAVES[case]
    kind, reason = kind_and_reason(ex.check(cell(text)))
    assert (kind, reason) == (ERROR, said)


@pytest.mark.parametrize("can_fork", [pytest.param(True, marks=forks), False])
def test_recursion_without_end(can_fork, ex, monkeypatch):
    monkeypatch.setattr(apart, "CAN_FORK", can_fork)
    kind, reason = kind_and_reason(ex.check(cell("return double(n) + 1")))
    assert kind == ERROR and "RecursionError: maximum recursion depth exceeded" in reason


LOOPS = ["while True: pass", "while True:\n    try:\n        n += 1\n    except Exception:\n        pass",
         "def forever():\n    while True:\n        yield 1\nreturn forever()", "for n in iter(int, 1): pass"]


@pytest.mark.parametrize("text", LOOPS)
@pytest.mark.parametrize("can_fork", [pytest.param(True, marks=forks), False])
def test_loops_in_python_end_after_so_many_steps(text, can_fork, ex, monkeypatch):
    monkeypatch.setattr(apart, "CAN_FORK", can_fork)
    assert kind_and_reason(ex.check(cell(text))) == (ERROR, ": no end after 50,000 steps; is there a loop that never stops?")


COMPUTES = ": no end after 1 s of computing; is there a loop that never stops?"
WAITS = ": it waited for 0.5 s; is there a sleep, or a lock, a queue or a thread that nobody ends?"
FORCE = ": it was ended by force: it computed for too long, took the machine's memory, or closed what a check writes to"
NOTHING = ": it ended Python itself, and nothing came back; is there an os._exit?"
APART = {
    "catches everything": ("while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
                           ": no end after 50,000 steps; is there a loop that never stops?"),
    "no trace": ("import sys\nsys.settrace(None)\nfor f in [sys._getframe()]: f.f_trace = None\nwhile True: pass", COMPUTES),
    "loop in C": ("import itertools\nreturn sum(itertools.count())", COMPUTES),
    "any in C": ("return any(iter(int, 1))", COMPUTES),
    "regular expression": ("import re\nreturn re.match('(a+)+$', 'a' * 64 + 'b')", COMPUTES),
    "power": ("return 10 ** 10 ** 9", COMPUTES),
    "endless answer in C": ("import itertools\nreturn itertools.filterfalse(None, itertools.repeat(1))", COMPUTES),
    "thread that computes": ("import threading\nt = threading.Thread(target=lambda: sum(iter(lambda: 0, 1)))\nt.start()\nt.join()",
                             (COMPUTES, WAITS)),
    "sleep": ("import time\ntime.sleep(10**6)", WAITS),
    "sleep that catches everything": ("import time\nwhile True:\n    try:\n        time.sleep(10**6)\n    except BaseException:\n        pass", WAITS),
    "lock": ("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", WAITS),
    "queue": ("import queue\nqueue.Queue().get()", WAITS),
    "two threads": ("import threading\na, b = threading.Lock(), threading.Lock()\na.acquire()\n"
                    "t = threading.Thread(target=lambda: (b.acquire(), a.acquire()))\nt.start()\nt.join()", WAITS),
    "pause": ("import signal\nsignal.pause()", WAITS),
    "stop": ("import signal\nsignal.raise_signal(signal.SIGSTOP)", WAITS),
    "socket": ("import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\ns.accept()", WAITS),
    "os._exit": ("import os\nos._exit(0)", NOTHING),
    "abort": ("import os\nos.abort()", ": Python itself ended by SIGABRT"),
    "crash": ("import ctypes\nctypes.string_at(0)", ": Python itself ended by SIGSEGV; is there a recursion without an end?"),
    "ignores the limit": ("import signal, itertools\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nsum(itertools.count())",
                          FORCE),
    "closes everything": ("import os\nos.closerange(0, 256)\nreturn 2 * n", (NOTHING, FORCE)),
    "forges": ("import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[1, 2]\\n')\n    except OSError: pass\nreturn 1", ": " + apart.FORGED),
    "input": ("return input('how many?')", ", line 2: EOFError: nobody types while an answer is checked"),
    "fork": ("import os\nwhile True: os.fork()", ", line 3: RuntimeError: an answer starts and ends no processes (os.fork)"),
    "subprocess": ("import subprocess\nsubprocess.run(['sleep', '1000'])",
                   ", line 3: RuntimeError: an answer starts and ends no processes (subprocess.Popen)"),
    "system": ("import os\nos.system('sleep 1000')", ", line 3: RuntimeError: an answer starts and ends no processes (os.system)"),
    "kills who asked": ("import os\nos.kill(os.getppid(), 9)", ", line 3: RuntimeError: an answer starts and ends no processes (os.kill)"),
    "closed output": ("import sys\nsys.stdout.close()\nprint('x')", ", line 4: ValueError: I/O operation on closed file"),
    "check in a check": ("from vmio.lab import exercise\nreturn exercise('fetch-once').check(lambda: 1)",
                         ", line 3: RuntimeError: an answer starts and ends no processes (os.fork)"),
}


@forks
@pytest.mark.parametrize("case", APART)
def test_whatever_it_does_the_check_ends(case, ex):
    text, said = APART[case]
    kind, reason = kind_and_reason(ex.check(cell(text)))
    assert kind == ERROR and reason in ((said,) if isinstance(said, str) else said)


@forks
@pytest.mark.parametrize("text", [
    "return [0] * 10**8", "return list(iter(int, 1))", "n = [n]\nwhile True: n += n",
    "import itertools\nreturn list(itertools.count())", "return bytearray(200 << 20)",
    "global kept\nkept = []\nwhile True:\n    try:\n        while True: kept.append(bytearray(1 << 20))\n    except MemoryError:\n        raise",
])
def test_memory_is_limited(text, ex):
    ex.limits = replace(ex.limits, compute_s=20)      # a busy machine must not reach the other limit first
    kind, reason = kind_and_reason(ex.check(cell(text)))
    assert kind == ERROR and ("MemoryError" in reason or reason == ": it needs more than 128 MiB of memory")


@forks
@pytest.mark.parametrize("method", ["__eq__", "__ne__", "__hash__", "__repr__", "__bool__"])
@pytest.mark.parametrize("body, said", [
    ("raise SystemExit('mine')", "SystemExit: mine"), ("while True: pass", "no end after 50,000 steps"), ("1 / 0", "ZeroDivisionError")])
def test_objects_with_odd_methods(method, body, said, ex):
    others = "" if method in ("__eq__", "__hash__") else "        __hash__ = object.__hash__\n"
    if method == "__eq__":
        others = "        def __hash__(self): return 1\n"
    if method == "__bool__":        # what a comparison gives is asked for its truth
        others += "        def __ne__(self, other): return self\n"
    outcome = ex.check(cell(f"def double(n):\n    class Odd:\n        def {method}(self, *others):\n            {body}\n{others}    return Odd()\n"))
    assert outcome.kind == ERROR and said in outcome.text


@forks
def test_an_answer_that_is_no_function(ex):
    class Hostile:
        def __getattribute__(self, name):
            raise SystemExit(name)

        def __call__(self, n):
            return n
    assert kind_and_reason(ex.check(Hostile()))[0] == ERROR


@forks
def test_what_it_changes_goes_with_it(ex):
    here, path, add = os.getcwd(), data.path, builtins.sum
    answer = cell("import builtins, os, sys, vmio.data\nglobal count\ncount = 5\nkept.append(n)\nbuiltins.sum = None\nvmio.data.path = None\n"
                  "os.chdir('/')\nos.environ['VMIO_TRIED'] = '1'\nsys.modules.pop('vmio.data')\nreturn 2 * n")
    answer.__globals__.update(kept=[], count=1)
    assert ex.check(answer).kind == PASS
    assert (answer.__globals__["kept"], answer.__globals__["count"]) == ([], 1)
    assert (os.getcwd(), data.path, builtins.sum, "VMIO_TRIED" in os.environ, sys.modules["vmio.data"]) == (here, path, add, False, data)


@forks
@pytest.mark.parametrize("text", [
    "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\nreturn 2 * n",
    "import atexit, time\natexit.register(time.sleep, 10**6)\nreturn 2 * n",
    "global kept\nclass Slow:\n    def __del__(self):\n        while True: pass\nif n == 3: kept = Slow()\nreturn 2 * n",
])
def test_a_right_answer_that_leaves_something_running_is_right(text, ex):
    assert repr(ex.check(cell(text))) == "double: right. Doubled."


def runs(pid):
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@forks
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc for the process that must be gone")
def test_processes_that_python_does_not_see_end_with_the_check(ex, capsys):
    text = ("import ctypes, os, time\npid = ctypes.CDLL(None).fork()\nif pid == 0:\n    time.sleep(10**6)\nprint(pid)\nreturn 2 * n")
    assert ex.check(cell(text)).kind == PASS
    pids = {int(pid) for pid in capsys.readouterr().out.split()}
    assert len(pids) == 2
    for _ in range(1000):                       # SIGKILL may still be under way
        if not any(runs(pid) for pid in pids):
            break
        time.sleep(0.01)
    assert not any(runs(pid) for pid in pids)


@forks
def test_output_is_shown_and_cut(ex, capsys):
    assert ex.check(cell("import os, sys\nprint('from print', n)\nprint('err', file=sys.stderr)\nos.write(1, b'raw\\n')\nreturn n")).kind == WRONG
    assert capsys.readouterr().out == "from print 3\nerr\nraw\n"
    assert ex.check(cell("import os\nwhile True: os.write(1, b'x' * 10**6)")).kind == ERROR
    assert capsys.readouterr().out == "x" * 1000 + "\n... and more: an answer may print 1,000 characters\n"


@forks
def test_it_cannot_speak_for_the_one_that_asks(ex):
    (reader, writer), (near, far) = os.pipe(), socket.socketpair()
    with open(__file__, "rb") as file, near, far:
        answer = cell("import os, socket\nfor fd in out:\n    try: os.write(fd, b'x')\n    except OSError: pass\n"
                      "try: socket.socket(fileno=os.dup(out[1])).shutdown(2)\nexcept OSError: pass\nfile.read(3)\nreturn 2 * n")
        answer.__globals__.update(out=[writer, near.fileno()], file=file)
        assert ex.check(answer).kind == PASS
        near.send(b"still open")
        os.write(writer, b".")
        assert (os.read(reader, 10), far.recv(20)) == (b".", b"still open")
    os.close(reader)
    os.close(writer)


def children():
    """Processes that this one has begun and that are there; what a pool of another test needed may be among them, and stays to the end."""
    tasks = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []
    return sorted(pid for task in tasks for pid in Path(f"/proc/self/task/{task}/children").read_text(encoding="ascii").split())


@forks
def test_nothing_is_left_open_or_running(ex, monkeypatch):
    before, others = sorted(os.listdir("/dev/fd")), children()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM, signal.SIGXCPU)]
    ex.check(cell("return n"))
    ex.check(cell("import os\nos._exit(0)"))

    def interrupted(*arguments):
        raise KeyboardInterrupt
    monkeypatch.setattr(apart, "_late", interrupted)
    with pytest.raises(KeyboardInterrupt):      # the user's own, while the answer sleeps
        ex.check(cell("import time\ntime.sleep(10**6)"))
    assert sorted(os.listdir("/dev/fd")) == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM, signal.SIGXCPU)] == handlers
    assert children() == others
    if not others:
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
