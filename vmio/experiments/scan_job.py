"""The list of pieces that workers share: what is to do, who is at it, and the sum of what was found.

A match belongs to the piece in which it begins.  It may end in the next one, so who searches a piece reads on: as far as the longest
word less its first letter.  Without that, matches across a border are nobody's, and only sometimes is there one.
"""

from collections import deque
from dataclasses import dataclass, field

from vmio.experiments.scan_params import WORDS, ScanParams
from vmio.machine.storage import SECTOR

START_NS = 100_000_000     # all workers begin then: each guest's devices are up long before


@dataclass
class Piece:
    """Bytes `start` to `end` of the image, `words` to be looked for, and `workers` that have begun with it."""

    number: int
    start: int
    end: int
    words: tuple[bytes, ...] = WORDS
    workers: list[int] = field(default_factory=list)
    done: bool = False


class Job:
    """The pieces of a scan; `spans` has (worker, from, until) in ns of each piece that was searched, `found` the matches."""

    def __init__(self, params: ScanParams) -> None:
        self.params = params
        size, all_bytes = params.piece_kib << 10, params.kib << 10
        self.pieces: list[Piece] = []
        self.last = all_bytes
        parts = 1 if params.shared else params.workers
        self._open: list[deque[Piece]] = [deque() for _ in range(parts)]
        starts = range(0, all_bytes, size)
        for words in (WORDS[n::params.passes] for n in range(params.passes)):
            every = [Piece(len(self.pieces) + n, at, min(at + size, all_bytes), words) for n, at in enumerate(starts)]
            self.pieces += every
            for n, own in enumerate(self._open):
                own.extend(every[n * len(every) // parts:(n + 1) * len(every) // parts])
        self.left = len(self.pieces)
        self.found = dict.fromkeys(WORDS, 0)
        self.spans: list[tuple[int, int, int]] = []
        self.latencies: list[tuple[int, int]] = []         # (when it ended, ns that the read took)
        self.hits: list[int] = []                           # when a piece was in memory
        self.copies = self.bytes_read = self.again = 0      # `again`: reads of what had been read
        self._been_read: set[int] = set()

    def take(self, worker: int) -> Piece | None:
        """Return the next piece for this worker, or None if there is none for it to begin."""
        mine = self._open[0 if self.params.shared else worker]
        piece = mine.popleft() if mine else self._copy(worker) if self.params.backup else None
        if piece is not None:
            piece.workers.append(worker)
        return piece

    def _copy(self, worker: int) -> Piece | None:
        """A piece that one other worker has begun and not ended, the first of them: it has had it longest."""
        slow = next((piece for piece in self.pieces if not piece.done and piece.workers not in ([], [worker]) and len(piece.workers) == 1), None)
        self.copies += slow is not None
        return slow

    def note_read(self, piece: Piece) -> None:
        """Count a read for a piece that was not in memory."""
        self.bytes_read += self.reads(piece)[1] * SECTOR
        self.again += piece.start in self._been_read
        self._been_read.add(piece.start)

    def finish(self, piece: Piece, matches: dict[bytes, int]) -> bool:
        """Note what was found in a piece, unless a copy of it was faster; returns whether all is done now."""
        if piece.done:
            return False
        piece.done = True
        self.left -= 1
        for word, count in matches.items():
            self.found[word] += count
        return not self.left

    def reads(self, piece: Piece) -> tuple[int, int]:
        """Return (first sector, number of sectors) of the read for a piece."""
        end = min(piece.end + (SECTOR if self.params.overlap else 0), self.last)
        return piece.start // SECTOR, (end - piece.start) // SECTOR

    def count(self, piece: Piece, data: bytes) -> dict[bytes, int]:
        """Return the matches that begin in a piece, of which `data` was read."""
        if data == bytes(len(data)):            # as most of a disk is, and no word has zeros; this saves our own time, not the worker's
            return dict.fromkeys(piece.words, 0)
        text, size = data.lower(), piece.end - piece.start
        return {word: text[:size + len(word) - 1].count(word) for word in piece.words}
