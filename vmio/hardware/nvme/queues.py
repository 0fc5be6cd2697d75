"""Submission and completion queues: rings of 64-byte commands and 16-byte answers in the host's memory.

The host owns a submission queue's tail and a completion queue's head, the
controller the other two.  A phase bit in each answer, inverted at each turn of
the ring, tells the host which answers are new (NVMe 1.4, 4.1 and 4.6).
"""

from collections import deque
from typing import Any

from vmio.machine.contracts import State


class SubmissionQueue:
    """`size` commands at `base`, answered into `cq`.  `in_flight` were fetched and not answered yet."""

    __slots__ = ("id", "base", "size", "cq", "head", "tail", "in_flight", "requests")
    FIELDS = ("id", "base", "size", "head", "tail")

    def __init__(self, id: int, base: int, size: int, cq: "CompletionQueue") -> None:
        self.id, self.base, self.size, self.cq = id, base, size, cq
        self.head = self.tail = self.in_flight = 0
        self.requests: set[Request] = set()   # those that the medium, or an event, keeps waiting

    def save(self) -> State:
        """Return plain data; the controller saves the requests."""
        return {name: getattr(self, name) for name in self.FIELDS} | {"cq": self.cq.id}


class CompletionQueue:
    """`size` answers at `base`; `vector` interrupts if `interrupts`.  `waiting` answers found no room yet."""

    __slots__ = ("id", "base", "size", "vector", "interrupts", "head", "tail", "phase", "waiting")
    FIELDS = ("id", "base", "size", "vector", "interrupts", "head", "tail", "phase")

    def __init__(self, id: int, base: int, size: int, vector: int, interrupts: bool) -> None:
        self.id, self.base, self.size = id, base, size
        self.vector, self.interrupts = vector, interrupts
        self.head = self.tail = 0
        self.phase = 1
        self.waiting: deque[Request] = deque()

    def save(self) -> State:
        """Return plain data; the controller saves the answers that wait."""
        return {name: getattr(self, name) for name in self.FIELDS}


class Request:
    """One command under way: where it came from, its fields, and what its answer will say."""

    __slots__ = ("sq", "command", "result", "status", "lba", "count", "pieces", "done")
    lba: int
    count: int

    def __init__(self, sq: SubmissionQueue, command: bytes) -> None:
        self.sq, self.command = sq, command   # command: the 64 bytes
        self.result = self.status = 0
        self.pieces: Any = None               # its memory: [(address, length), ...]
        self.done = False

    @property
    def id(self) -> int:
        """The command identifier that the host chose."""
        return self.command[2] | self.command[3] << 8
