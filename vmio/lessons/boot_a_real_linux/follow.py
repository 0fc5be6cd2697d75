"""A boot followed exit by exit: how far the console is, which function of the kernel it was, which accesses come in a row."""

import bisect
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vmio.boot.run import Boot
from vmio.hypervisor.exits import Exit, ExitReason
from vmio.machine.probes import watch
from vmio.processors.unicorn.paging import PageFault

FRAMES = 120            # of the console and the counters, at equal steps of virtual time
CALL, CALL_BYTES = 0xE8, 5
KERNEL = 0xFFFF_FFFF_8000_0000      # where Linux's code and its modules begin (Documentation/arch/x86/x86_64/mm.rst)
STACK = 24              # words of the stack in which the caller is looked for
MOST_RUNS = 700         # runs of accesses that are kept, from the start
CONSOLE = "uart"        # its accesses are counted, and neither named nor kept in order: there are thousands
_SYMBOL = re.compile(r"^([0-9a-f]{16}) [tTwW] (\S+)(?:\t\[(\w+)\])?$")


class Frame(NamedTuple):
    """At `ns` of virtual time: `characters` are on the console; exits so far by reason and by who answered."""

    ns: int
    characters: int
    reasons: dict[str, int]
    devices: dict[str, int]


class Run(NamedTuple):
    """The same access, `times` in a row, no other to a port between but the console's: `instruction` IN or OUT, `address` a port."""

    instruction: str
    device: str
    address: int
    times: int


class Function(NamedTuple):
    """A function of Linux in which exits happen, its module ("" for the kernel itself), who answered, and how often.

    `caller` is the function that has called it, "" where the stack doesn't say so for certain.
    """

    name: str
    module: str
    caller: str
    device: str
    exits: int


class Follower:
    """Looks on at a boot, and changes nothing of it.  While `where` is true it notes in which of the kernel's functions exits happen."""

    def __init__(self, boot: Boot, where: bool = False) -> None:
        self.where = where
        self._boot, self._cpu = boot, boot.cpu
        self._seen: list[tuple[int, int, str, str]] = []
        self._places: Counter[tuple[int, int, str]] = Counter()
        self._calls: dict[int, int] = {}
        self.runs: list[Run] = []
        watch(boot.cpu.table, "exited", self._exited)

    def _exited(self, exit: Exit) -> None:
        self._seen.append((exit.time, len(self._boot.console.data), exit.reason.value, exit.device))
        if exit.device == CONSOLE:
            return
        if self.where:
            self._place(exit.device)
        if exit.reason is ExitReason.IO_INSTRUCTION:
            run = Run("OUT" if exit.write else "IN", exit.device, exit.address, 1)
            if self.runs and self.runs[-1][:3] == run[:3]:
                self.runs[-1] = self.runs[-1]._replace(times=self.runs[-1].times + 1)
            elif len(self.runs) < MOST_RUNS:
                self.runs.append(run)

    # Where in the kernel.

    def _place(self, device: str) -> None:
        """Note RIP, and what the CALLs behind the stack's words would have called: the caller's is the one that leads here."""
        import unicorn.x86_const as x
        read = self._cpu.engine.reg_read
        rip, cr3 = read(x.UC_X86_REG_RIP), read(x.UC_X86_REG_CR3)
        self._places[rip, self._caller(rip, read(x.UC_X86_REG_RSP), cr3), device] += 1

    def _caller(self, rip: int, stack: int, cr3: int) -> int:
        """Return the address behind the nearest CALL, in the stack, of code that begins at most a page before `rip`; 0 for none."""
        try:
            words = self._cpu.ram.read(cr3, stack, 8 * STACK)
        except PageFault:
            return 0
        for at in range(0, len(words), 8):
            address = int.from_bytes(words[at:at + 8], "little")
            if address >= KERNEL and 0 <= rip - self._called(address, cr3) < 4096:
                return address
        return 0

    def _called(self, address: int, cr3: int) -> int:
        """Return what the direct CALL before `address` calls; 0 if there is none."""
        if address not in self._calls:
            try:
                code = self._cpu.ram.read(cr3, address - CALL_BYTES, CALL_BYTES)
            except PageFault:
                code = bytes(CALL_BYTES)
            self._calls[address] = address + int.from_bytes(code[1:], "little", signed=True) if code[0] == CALL else 0
        return self._calls[address]

    def functions(self, kallsyms: str) -> list[Function]:
        """Return the functions that exit, most first; `kallsyms` is what Linux says of its own (/proc/kallsyms)."""
        symbols = Symbols(kallsyms)
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for (rip, back, device), count in self._places.items():
            name, module, began = symbols.at(rip)
            caller = symbols.at(back)[0] if back and self._calls[back] == began else ""
            counts[name, module, caller, device] += count
        return [Function(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

    # How far it was.

    def names(self) -> tuple[list[str], list[str]]:
        """Return which exit reasons there were, and who answered, the most frequent first."""
        reasons, devices = Counter(seen[2] for seen in self._seen), Counter(seen[3] for seen in self._seen)
        return [name for name, _ in sorted(reasons.items(), key=_often)], [name for name, _ in sorted(devices.items(), key=_often)]

    def frames(self, end: int) -> list[Frame]:
        """Return the console's length and the counters at `FRAMES` + 1 equal steps from 0 to `end` ns."""
        found, at = [], 0
        reasons: Counter[str] = Counter()
        devices: Counter[str] = Counter()
        characters = 0
        for step in range(FRAMES + 1):
            until = end * step // FRAMES
            while at < len(self._seen) and self._seen[at][0] <= until:
                _, characters, reason, device = self._seen[at]
                reasons[reason] += 1
                devices[device] += 1
                at += 1
            if step == FRAMES:
                characters = len(self._boot.console.data)
            found.append(Frame(until, characters, dict(reasons), dict(devices)))
        return found


def _often(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


class Symbols:
    """Linux's functions by address, out of the text of /proc/kallsyms."""

    def __init__(self, kallsyms: str) -> None:
        found = [(int(match[1], 16), match[2], match[3] or "") for line in kallsyms.splitlines() if (match := _SYMBOL.match(line))]
        self._all: Sequence[tuple[int, str, str]] = sorted(found)
        self._starts = [address for address, _, _ in self._all]

    def at(self, address: int) -> tuple[str, str, int]:
        """Return (name, module, where it begins) of the function that `address` is in; of code of no name, a user's program, ("", "", 0)."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0 or address < KERNEL:
            return "", "", 0
        began, name, module = self._all[at]
        return name, module, began
