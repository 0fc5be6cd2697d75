"""What the programs of one guest were told since they began, in the order in which they were told it.

Each answer is [instruction, answer].  [`TURN`, number] comes where another vCPU's program runs than the one before, and
wherever one begins: the programs of a guest share its drivers, so when they run once more, each must run in its turn.
"""

from typing import Any
from zlib import crc32

from vmio.machine.checkpoint import CheckpointRefused, Form, State

ANSWERS = Form("programs' answers", 2, "list", "check")
INTERRUPT, TIMER, TURN = "interrupt", "timer", "vCPU"
COME = (INTERRUPT, TIMER)       # what nobody asked for
END = object()                  # of the answers, or of a turn


class Recording:
    """The answers of a guest's programs, and a sum over what was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.check = name, 0
        self.answers: list[list] = []
        self.at = 0                     # the next answer to be given again
        self.again = False              # the programs run on the answers alone
        self.why: str | None = None     # why the programs can't be saved
        self._run: object = None
        self._vcpu: int | None = None   # whose answers come at the moment
        self._expected: int | None = None

    def starts(self, run: object) -> None:
        """Programs are to begin in this run; what those of an earlier one know is in no list."""
        if self._run is not None and self._run is not run and self.answers:
            self.why = "it runs its second program; only the first can be saved, for what drivers remember is in no answer"
        self._run = run

    def begins(self, vcpu: int) -> None:
        """The program of this vCPU begins."""
        self._vcpu = vcpu
        self.answers.append([TURN, vcpu])

    def runs(self, vcpu: int) -> None:
        """The program of this vCPU has been waiting, and runs now; what it uses may be another vCPU's (a ring that they share)."""
        if vcpu != self._vcpu:
            self.begins(vcpu)

    def asked(self, *what: object) -> None:
        """Add an instruction and its operands to the sum."""
        self.check = crc32(repr(what).encode(), self.check)

    def note(self, instruction: str, answer: Any) -> None:
        """Keep an answer."""
        self.answers.append([instruction, answer])

    def save(self) -> State:
        """Return the answers; `CheckpointRefused` if they are not all that the programs know."""
        if self.why is not None:
            raise CheckpointRefused(f"checkpoint, {self.name}: {self.why}")
        return ANSWERS.state(list=list(self.answers), check=self.check)

    def restore(self, state: State) -> None:
        """From now on give the saved answers; the programs begin anew."""
        saved = ANSWERS.take(state)
        if self.answers:
            raise CheckpointRefused(f"checkpoint, {self.name}: a program has run here already; a new machine is needed")
        self.answers, self._expected, self.again = list(saved["list"]), saved["check"], True

    def next(self, instruction: str) -> Any:
        """Return the next (instruction, answer), which must be to `instruction` or have come by itself; `END` if the turn ends."""
        if not self.again or self.at == len(self.answers):
            return END
        saved, answer = self.answers[self.at]
        if saved == TURN:
            return END
        if saved != instruction and saved not in COME:
            raise CheckpointRefused(f"checkpoint, {self.name}: this program is not the saved one: {instruction} is its "
                                    f"instruction {self.at}, where that one had {saved}")
        self.at += 1
        return saved, tuple(answer) if type(answer) is list else answer

    def turn(self) -> int | None:
        """Return whose turn is next, or None when all have been told what they were told; `CheckpointRefused` in the middle of one."""
        if self.at < len(self.answers):
            saved, vcpu = self.answers[self.at]
            if saved == TURN:
                self.at += 1
                self._vcpu = vcpu
                return vcpu
        if self.at < len(self.answers) or self.check != self._expected:
            raise CheckpointRefused(f"checkpoint, {self.name}: this program is not the saved one: it took {self.at} of "
                                    f"{len(self.answers)} answers, and asked for something else")
        self.again = False
        return None
