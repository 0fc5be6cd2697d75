"""The serial port's other end: what the guest has said, and what is typed to it.

It is told each byte as the guest's UART sends it, and knows lines, a text that ends the run, marks that begin a
phase, a kernel's panic, and prompts that are answered.  A kernel's message has a stamp, "[    1.234567]"; one that
is shown again (by dmesg, say) is the same message, and its mark begins no phase again.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from vmio.machine.checkpoint import CheckpointRefused, Form, State

PANIC, PANIC_END = b"Kernel panic - not syncing", b"---[ end Kernel panic"
TYPING_NS = 200_000         # between two characters of somebody who types an answer: a fast reader at 50,000 baud
LAST_LINES = 8              # of the console in a sentence about its end
MOST = 16 << 20             # bytes that are kept
CONSOLE = Form("console", 1, "data", "lost", "line", "panic", "marked")
STAMPED = re.compile(rb"\[ *\d+\.\d{6}\] .*")     # a message of Linux's; before it dmesg -r has its level


class Console:
    """`until` is a text that is waited for, `mark` what a line that begins a phase holds; `sink(byte)` gets all of it as it comes."""

    POINTS = {"found": "() `until` has been shown", "marked": "(name) a line with `mark`, and what followed on it",
              "panicked": "(line) Linux has panicked, and said all about it"}
    found: Callable[[], None] | None = None
    marked: Callable[[str], None] | None = None
    panicked: Callable[[str], None] | None = None

    def __init__(self, until: str = "", mark: str = "", sink: Callable[[int], None] | None = None) -> None:
        self.data = bytearray()
        self.lost = 0                   # bytes beyond `MOST`
        self._until, self._mark, self._sink = until.encode(), mark.encode(), sink
        self._line = bytearray()
        self.panic = ""
        self._marked: set[bytes] = set()        # the messages that had marks
        self._answers: list[tuple[bytes, bytes]] = []
        self._type: Callable[[bytes], None] = lambda text: None

    def __call__(self, byte: int) -> None:
        """One byte has been sent."""
        if self._sink is not None:
            self._sink(byte)
        if len(self.data) >= MOST:
            del self.data[:MOST // 2]
            self.lost += MOST // 2
        self.data.append(byte)
        self._line.append(byte)
        if self.found is not None and self._until and byte == self._until[-1] and self.data.endswith(self._until):
            self.found()
        if self._answers and byte == self._answers[0][0][-1] and self.data.endswith(self._answers[0][0]):
            self._type(self._answers.pop(0)[1])
        if byte == 10:
            self._ended(bytes(self._line))
            self._line.clear()

    def _ended(self, line: bytes) -> None:
        at = line.find(self._mark) if self._mark else -1
        if at >= 0 and self._is_new(line) and self.marked is not None:
            self.marked(line[at + len(self._mark):].decode("ascii", "replace").strip())
        if PANIC in line and not self.panic:
            self.panic = line[line.index(PANIC):].decode("ascii", "replace").strip()
        elif PANIC_END in line and self.panicked is not None:
            self.panicked(self.panic)

    def _is_new(self, line: bytes) -> bool:
        """Whether this line, which has a mark, is shown for the first time; one without a stamp is new each time."""
        message = STAMPED.search(line)
        if message is None:
            return True
        text = message[0].rstrip()
        seen = text in self._marked
        self._marked.add(text)
        return not seen

    def save(self) -> State:
        """Return what has been said; `CheckpointRefused` while there are answers to be typed yet, which nobody could save."""
        if self._answers:
            raise CheckpointRefused(f"checkpoint: an answer to {self._answers[0][0].decode('ascii', 'replace')!r} is still to be typed")
        return CONSOLE.state(data=self.data, lost=self.lost, line=self._line, panic=self.panic, marked=sorted(self._marked))

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        saved = CONSOLE.take(state)
        self.data[:], self._line[:] = saved["data"], saved["line"]
        self.lost, self.panic, self._marked = saved["lost"], saved["panic"], set(saved["marked"])

    def answer(self, answers: Sequence[tuple[str, str]], board: Any) -> None:
        """Type the second text of each pair on `board` when the first has been shown, in this order."""
        self._answers = [(prompt.encode(), text.encode()) for prompt, text in answers]
        clock, uart = board.guest.clock, board.uart

        def type_text(text: bytes) -> None:
            if not text:
                return
            ready = uart.free()
            if ready:
                uart.receive(text[:1])
            clock.call_later(TYPING_NS, lambda: type_text(text[1:] if ready else text))
        self._type = lambda text: clock.call_later(TYPING_NS, lambda: type_text(text)) and None

    @property
    def line(self) -> bytes:
        """What has been said since the last end of a line."""
        return bytes(self._line)

    @property
    def text(self) -> str:
        """All of it that was kept, with plain line ends; what is no ASCII shows as a question mark in a diamond."""
        return self.data.decode("ascii", "replace").replace("\r\n", "\n").replace("\r", "")

    def last_lines(self, count: int = LAST_LINES) -> list[str]:
        """Return the last lines that are not empty."""
        return [line.rstrip() for line in self.text.splitlines() if line.strip()][-count:]
