"""A guest's requests, in their order: which is next, which may start, and the digest of what was read.

All vCPUs of a guest take from one ledger.  Requests that touch the same sectors keep their
order, a flush waits for the writes before it; everything else may be done in any order, and
the digest is still over the bytes in the requests' order.
"""

import hashlib
from collections import deque
from collections.abc import Sequence

from vmio.experiments.inflight import Ranges
from vmio.experiments.traces.request import Request
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.storage import SECTOR


class Ledger:
    """The `requests` of a guest.  `row` is a request's number; `bytes` counts what was begun, `bytes_read` what the digest has."""

    def __init__(self, requests: Sequence) -> None:
        self.requests = requests
        self.digest = hashlib.sha256()
        self.bytes = self.bytes_read = self.not_issued = 0
        self.next = 0                  # the row that is begun next
        self.blocked: list[VCpu] = []   # vCPUs that sleep until a request of another's is over
        self._writes = 0
        self._reading, self._writing = Ranges(), Ranges()
        self._only_reads = all(request.op in "RF" for request in requests)
        self._order: deque[int] = deque()     # reads that the digest has not seen yet
        self._data: dict[int, bytes] = {}     # row -> bytes, of reads that are over before their turn

    def may_start(self, request: Request) -> bool:
        """Does it meet nothing that must be over first?"""
        op, lba, sectors = request
        if op == "F" or not self._writes and op == "R":
            return not (op == "F" and self._writes)
        end = lba + sectors
        return not (self._writing.meet(lba, end) or op in "WD" and self._reading.meet(lba, end))

    def skip(self) -> None:
        """Leave out the next request: the disk announces no such command."""
        self.next += 1
        self.not_issued += 1

    def begin(self) -> int:
        """Take the next request, which may start; its row."""
        row = self.next
        op, lba, sectors = self.requests[row]
        self.next += 1
        if op in "RW":
            self.bytes += sectors * SECTOR
        if op == "R":
            self._order.append(row)
            if not self._only_reads:
                self._reading.add(lba, lba + sectors)
        elif op in "WD":
            self._writes += 1
            self._writing.add(lba, lba + sectors)
        return row

    def completed(self, row: int, data: bytes = b"") -> None:
        """A request is over; `data` is what a read has brought."""
        op, lba, sectors = self.requests[row]
        if op in "WD":
            self._writes -= 1
            self._writing.remove(lba, lba + sectors)
        elif op == "R":
            if not self._only_reads:
                self._reading.remove(lba, lba + sectors)
            self._data[row] = data
            while self._order and self._order[0] in self._data:
                data = self._data.pop(self._order.popleft())
                self.digest.update(data)
                self.bytes_read += len(data)
