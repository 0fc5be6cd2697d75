"""A guest may loop for ever without an exit: only a signal gets the host's thread back out of it.

KVM_RUN returns EINTR when a signal is pending that it lets through.  Ours is
blocked in the vCPU's thread and let through by KVM_RUN alone (KVM_SET_SIGNAL_MASK),
so one that arrives between our last look and the call is not lost; and
`immediate_exit` turns a guest back that exits all the time (api.rst, 4.19 and 5).
A second thread waits for the time to pass and sends it, since Python would
handle an alarm in the main thread only, and a widget may run in another.
"""

import mmap
import signal
import threading
from ctypes import c_uint8
from typing import Self

from vmio.processors.kvm import api
from vmio.processors.kvm.vm import call

_BELL = signal.SIGRTMIN


class Deadline:
    """`with Deadline(seconds, fd, run_area) as deadline`: KVM_RUN on the vCPU `fd` returns when the time is up, `expired` set."""

    def __init__(self, seconds: float, fd: int, run_area: mmap.mmap) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline of {seconds} s: it must be above 0")
        self.seconds, self.fd, self.run_area, self.expired = seconds, fd, run_area, False
        self.over = threading.Event()

    def _wait(self, thread: int) -> None:
        if not self.over.wait(self.seconds):
            self.expired = True
            self.run_area[api.RUN_IMMEDIATE_EXIT] = 1
            signal.pthread_kill(thread, _BELL)

    def __enter__(self) -> Self:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [_BELL])
        inside = sum(1 << number - 1 for number in self.mask - {_BELL})
        call(self.fd, api.SET_SIGNAL_MASK, api.SignalMask(8, (c_uint8 * 8)(*inside.to_bytes(8, "little"))))
        self.bell = threading.Thread(target=self._wait, args=(threading.get_ident(),), daemon=True)
        self.bell.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.bell.join()
        signal.sigtimedwait([_BELL], 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        self.run_area[api.RUN_IMMEDIATE_EXIT] = 0
