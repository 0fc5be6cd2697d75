"""The end by the clock on the wall, and Ctrl-C, for a guest that may compute without ever coming back to Python."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vmio.processors.unicorn.vcpu import End, MachineCodeCpu

LOOK_S = 0.05
TIMEOUT = "timeout"


@contextmanager
def watching(cpu: MachineCodeCpu, seconds: float) -> Iterator[None]:
    """While the block runs, stop `cpu` for good after so many seconds, and let it come back to Python when a signal has come.

    A stop that arrives between two spells in the guest is lost: so it is asked for until the block has ended.
    """
    over, deadline = threading.Event(), time.monotonic() + seconds
    ours, theirs = socket.socketpair()
    ours.settimeout(LOOK_S)
    theirs.setblocking(False)

    def watch() -> None:
        while not over.is_set():
            try:
                if not ours.recv(64):
                    return
            except TimeoutError:
                pass
            else:
                cpu.leave()              # its signal's handler runs in Python
                continue
            if time.monotonic() > deadline:
                cpu.stop(End(TIMEOUT, f"it still ran after {seconds:g} s on the wall"))

    main = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False) if main else -1
    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        if main:
            signal.set_wakeup_fd(before)
        theirs.close()
        thread.join()
        ours.close()
