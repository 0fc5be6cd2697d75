"""What a forked process does to itself before it runs a learner's code, and how it says what came of it.

It gives up what belongs to the process it came from (terminal, signals, the
notebook's streams and its way of asking), takes its limits, and starts no
process of its own: a copy of the copy would only hide from whoever must end it.
"""

import builtins
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import Any, NoReturn

MIB = 1 << 20
FILE_MIB = 64           # no answer writes large files
RESERVE_MIB = 64        # to say that there was no memory left
_REFUSED = ("os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn", "os.system",
            "pty.spawn", "signal.pthread_kill", "subprocess.Popen")
_tell: tuple[int, int] | None = None        # (process, descriptor) once this process is such a one


def run(work: Callable[..., Any], limits: Any, tell: int, say: int) -> None:
    """Say on descriptor `tell` what `work()` returns, with `say` as its standard output, and end this process."""
    global _tell
    os.setsid()
    _tell = os.getpid(), tell
    _signals(limits)
    _streams(say)
    _let_go(tell)
    _take_limits(limits)
    _no_way_out()
    sys.addaudithook(_refuse)
    try:
        data = work()
    except MemoryError:
        _more_memory()
        data = None
    leave(data)


def leave(data: object) -> None:
    """Say `data` and end this process at once, past every `except` and `finally`; does nothing in a process that isn't such a one."""
    if _tell is None:
        return
    process, descriptor = _tell
    if os.getpid() == process:
        _more_memory()
        with suppress(Exception):
            sys.stdout.flush()
        text = json.dumps(data).encode() + b"\n"
        while text:
            text = text[os.write(descriptor, text):]
    os._exit(0)


def _signals(limits: Any) -> None:
    """No handler of the notebook's; an alarm ends this process even if whoever waits for it has gone."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(ceil(limits.wall_s) + 1)
    with suppress(ImportError, RuntimeError, ValueError):
        import faulthandler
        faulthandler.disable()          # it would write into the terminal behind the notebook


def _streams(say: int) -> None:
    """Standard output and error go to `say`, whoever writes them; there is nothing to read."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (say, 1), (say, 2)):
        if here != there:
            os.dup2(here, there)
    if say > 2:
        os.close(say)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)    # for who goes past those


def _let_go(tell: int) -> None:
    """Close what others listen to (the notebook's sockets, pipes and terminal) except `tell`; open files stay, an image may be one."""
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):             # the listing's own is closed already
            mode = os.fstat(number).st_mode
            if number > 2 and number != tell and (stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or os.isatty(number)):
                os.close(number)


def _take_limits(limits: Any) -> None:
    """Computing, memory, files.  Soft limits raise where they can; a hard one of computing ends what ignores its signal."""
    import resource
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (limits.compute_s, limits.compute_s + 1))
    for kind, size in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, FILE_MIB * MIB)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (size, size))
    with suppress(ValueError, OSError):     # without /proc (macOS) the system knows no such limit either
        with open("/proc/self/statm") as file:
            soft = int(file.read().split()[0]) * resource.getpagesize() + limits.memory_mib * MIB
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft + RESERVE_MIB * MIB))
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")              # if the machine has too little, this is what goes


def _more_memory() -> None:
    """Open the reserve, so that there is room to say what happened."""
    with suppress(ImportError, ValueError, OSError):
        import resource
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _no_way_out() -> None:
    """`input` has nobody to ask, a notebook's `exit` means what it means elsewhere, and what it would display is printed."""
    def nobody(prompt: object = "", *more: object) -> NoReturn:
        raise EOFError("nobody types while an answer is checked")

    def out() -> None:
        raise SystemExit
    builtins.input = nobody
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.ask_exit = out
        shell.display_pub.publish = lambda data, *more, **options: print(data.get("text/plain", ""))


def _refuse(event: str, arguments: tuple) -> None:
    if event in _REFUSED:
        raise RuntimeError(f"an answer starts and ends no processes ({event})")
