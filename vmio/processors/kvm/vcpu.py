"""A virtual processor under KVM: registers, and the loop that every hypervisor is built around.

Enter the guest; learn why it stopped; answer; enter it again.  The records
are the `Exit`s of the modelled machine, so that both can be laid side by side.
"""

import mmap
import struct
from collections.abc import Callable
from enum import Enum
from time import perf_counter_ns
from typing import NamedTuple

from vmio.hypervisor.exits import Exit, ExitReason
from vmio.processors.kvm import api
from vmio.processors.kvm.deadline import Deadline
from vmio.processors.kvm.vm import KvmError, Vm, call


class End(str, Enum):
    """How a run ended."""

    DONE = "done"                      # the guest wrote to the port that means "finished"
    HALTED = "halted"                  # HLT
    TRIPLE_FAULT = "triple fault"      # KVM_EXIT_SHUTDOWN: a fault that no handler could take
    TIMEOUT = "timeout"                # the deadline passed first
    NOT_EMULATED = "not emulated"      # KVM_EXIT_INTERNAL_ERROR: e.g. code fetched from where no memory is
    FAILED_ENTRY = "failed entry"      # the processor refused the guest's state
    UNKNOWN = "unknown exit"           # a reason that this package doesn't know

    __str__ = str.__str__


_ENDS = {api.EXIT_HLT: End.HALTED, api.EXIT_SHUTDOWN: End.TRIPLE_FAULT, api.EXIT_INTERNAL_ERROR: End.NOT_EMULATED,
         api.EXIT_FAIL_ENTRY: End.FAILED_ENTRY}


class Run(NamedTuple):
    """What a run came to: its end, its exits in order, ns of wall-clock time, RIP at the end.

    After a triple fault RIP says nothing: some processors have been reset by then.
    """

    end: End
    exits: list
    ns: int
    rip: int
    reason: int                        # KVM's exit_reason at the end

    def __str__(self) -> str:
        return f"{self.end} at {self.rip:#x} after {len(self.exits)} exits (KVM exit reason {self.reason})"


def all_ones(exit: Exit) -> int:
    """Return the answer of an empty bus: every bit reads 1, writes go nowhere."""
    return (1 << 8 * exit.size * exit.count) - 1


class Vcpu:
    """Virtual processor `number` of `vm`; the VM closes it."""

    def __init__(self, vm: Vm, number: int = 0) -> None:
        self.number = number
        self.midway = False               # stopped within a string instruction, its next exit not yet reported
        self.fd = vm.own_fd(call(vm.fd, api.CREATE_VCPU, number))
        self.area = mmap.mmap(self.fd, call(vm.kvm, api.GET_VCPU_MMAP_SIZE))    # struct kvm_run and what follows
        vm.resources.callback(self.area.close)

    def registers(self) -> api.Regs:
        """Return `api.Regs` as they are."""
        regs = api.Regs()
        call(self.fd, api.GET_REGS, regs)
        return regs

    def set_registers(self, **values: int) -> None:
        """Change the registers named; the others keep their values."""
        regs = self.registers()
        for name, value in values.items():
            if name not in api.REGISTERS:
                raise ValueError(f"register {name!r}: there are {', '.join(api.REGISTERS)}")
            setattr(regs, name, value)
        call(self.fd, api.SET_REGS, regs)

    def special_registers(self) -> api.Sregs:
        """Return `api.Sregs` as they are."""
        sregs = api.Sregs()
        call(self.fd, api.GET_SREGS, sregs)
        return sregs

    def set_special_registers(self, sregs: api.Sregs) -> None:
        """Load segments and control registers."""
        call(self.fd, api.SET_SREGS, sregs)

    def run(self, answer: Callable[[Exit], int | None] = all_ones, done_port: int | None = None, seconds: float = 1.0) -> Run:
        """Run until the guest ends, at most `seconds` of wall-clock time: a `Run`.

        `answer(exit)` is called for each port and memory access that no slot
        took; for a read it returns the value, little-endian over all `count`
        units of `size` bytes (None: all ones).  An `Exit`'s `value` is packed
        in the same way, and is 0 for reads until `answer` has spoken.  OUT to
        `done_port` ends the run; it is recorded, and not passed to `answer`.
        `Exit.time` is in ns of wall-clock time since the start.  A run that ended
        by its deadline may be continued by another.
        """
        exits: list[Exit] = []
        area, start = self.area, perf_counter_ns()
        with Deadline(seconds, self.fd, area) as deadline:
            while True:
                if not self.midway and not self._enter():
                    if deadline.expired:
                        return self._end(End.TIMEOUT, exits, start)
                    continue              # someone else's signal
                self.midway = False
                reason = self._reason()
                if reason == api.EXIT_INTR:
                    continue
                time = perf_counter_ns() - start
                if reason == api.EXIT_IO:
                    exit, place = self._port_access(time)
                elif reason == api.EXIT_MMIO:
                    exit, place = self._memory_access(time)
                else:
                    if reason == api.EXIT_HLT:
                        exits.append(Exit(time, "kvm", self.number, ExitReason.HLT, 0, 0, 0, False))
                    return self._end(_ENDS.get(reason, End.UNKNOWN), exits, start)
                if exit.write and exit.reason is ExitReason.IO_INSTRUCTION and exit.address == done_port:
                    exits.append(exit)
                    return self._end(End.DONE, exits, start)
                try:
                    value = answer(exit)
                except BaseException:
                    self._finish()        # a device that fails leaves a vCPU that can go on
                    raise
                if not exit.write:
                    value = all_ones(exit) if value is None else value & all_ones(exit)
                    length = exit.size * exit.count
                    area[place:place + length] = value.to_bytes(length, "little")
                    exit = exit._replace(value=value)
                exits.append(exit)

    def _enter(self) -> bool:
        """Let the guest run to its next exit; False if a signal brought us back."""
        try:
            call(self.fd, api.RUN)
        except KvmError as error:
            if isinstance(error.__cause__, InterruptedError):
                return False
            raise
        return True

    def _port_access(self, time: int) -> tuple[Exit, int]:
        direction, size, port, count, place = struct.unpack_from(api.IO_DETAIL, self.area, api.RUN_DETAIL)
        value = int.from_bytes(self.area[place:place + size * count], "little") if direction else 0
        return Exit(time, "kvm", self.number, ExitReason.IO_INSTRUCTION, port, size, value, bool(direction), count), place

    def _memory_access(self, time: int) -> tuple[Exit, int]:
        address, data, size, is_write = struct.unpack_from(api.MMIO_DETAIL, self.area, api.RUN_DETAIL)
        value = int.from_bytes(data[:size], "little") if is_write else 0
        return (Exit(time, "kvm", self.number, ExitReason.EPT_VIOLATION, address, size, value, bool(is_write)),
                api.RUN_DETAIL + 8)

    def _reason(self) -> int:
        return int.from_bytes(self.area[api.RUN_EXIT_REASON:api.RUN_EXIT_REASON + 4], "little")

    def _finish(self) -> None:
        """KVM finishes an access on the next entry only; an entry that turns back at once does that and no more.

        Of a string instruction it does the next unit instead: that exit is kept for the next run.
        """
        self.area[api.RUN_IMMEDIATE_EXIT] = 1
        self.midway = self._enter()
        self.area[api.RUN_IMMEDIATE_EXIT] = 0

    def _end(self, end: End, exits: list[Exit], start: int) -> Run:
        ns, reason = perf_counter_ns() - start, self._reason()
        if end is End.DONE:
            self._finish()
        return Run(end, exits, ns, self.registers().rip, reason)
