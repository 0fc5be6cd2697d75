"""What is done where machine code has stopped between two instructions: an intercept, an exception, an opcode that nobody knows."""

from typing import Any

from vmio.hypervisor.faults import GuestFault
from vmio.processors.unicorn import intercepts, layout
from vmio.processors.unicorn.deliver import INVALID_OPCODE, PROTECTION, WITH_CODE, TripleFault
from vmio.processors.unicorn.state import R8, RAX, RBX, RCX, RDX

PAUSE_NS = 100          # 140 cycles since Skylake (Intel's optimization manual, "Pause Latency in Skylake Client Microarchitecture")
LOW32 = 0xFFFF_FFFF


class Answers:
    """The answers of `cpu`, a `MachineCodeCpu`, whose state each of them saves, changes and restores."""

    def __init__(self, cpu: Any) -> None:
        self.cpu = cpu

    def syscall(self) -> None:
        """Do SYSCALL, which Unicorn leaves to its user."""
        self.cpu.state.save()
        self.cpu.state.syscall()
        self.cpu.state.restore()

    def invalid(self) -> bool:
        """Answer an opcode that Unicorn doesn't know: a hypercall, or #UD."""
        state = self.cpu.state
        state.save()
        if self.cpu.code_at(state.cr3, state.rip, 3) in intercepts.HYPERCALLS:
            self._hypercall()
        else:
            self.cpu.delivery.exception(INVALID_OPCODE)
        state.restore()
        return True

    def _hypercall(self) -> None:
        """VMCALL by Hyper-V's convention: RCX, RDX, R8, and RAX for the result; #UD outside ring 0 (TLFS, "Hypercall Interface")."""
        state = self.cpu.state
        if state.cpl:
            return self.cpu.delivery.exception(INVALID_OPCODE)
        try:
            result = self.cpu.hypercall(state.register(RCX), state.register(RDX), state.register(R8))
        except GuestFault:               # hypercalls are not switched on
            return self.cpu.delivery.exception(INVALID_OPCODE)
        state.set_register(RAX, result)
        state.rip += 3
        self._finish()

    def stopped(self, number: int) -> None:
        """An exception of the guest's, or an intercept; RIP is exact, and no block of code is under way."""
        state = self.cpu.state
        state.save()
        if number >= intercepts.EXIT:
            self._intercepted(number - intercepts.EXIT)
        elif state.get32(layout.IS_INT):
            self.cpu.delivery.software(number)
        else:
            self.cpu.delivery.exception(number, state.get32(layout.ERROR_CODE) if number in WITH_CODE else None)
        state.restore()

    def _intercepted(self, code: int) -> None:
        state = self.cpu.state
        if code in intercepts.SVM or code == intercepts.INVLPGA:
            self.cpu.delivery.exception(INVALID_OPCODE)
        elif code == intercepts.SHUTDOWN:
            raise TripleFault(f"at RIP {state.rip:#x}, where no handler of the guest's can be reached")
        elif code == intercepts.MSR and not self._msr(state.get32(layout.ERROR_CODE) == intercepts.WRITES):
            self.cpu.delivery.exception(PROTECTION, 0)
        else:
            if code == intercepts.CPUID:
                answer = self.cpu.cpuid(state.register(RAX) & LOW32, state.register(RCX) & LOW32)
                for register, value in zip((RAX, RBX, RCX, RDX), answer):
                    state.set_register(register, value)
            elif code == intercepts.PAUSE:
                self.cpu.compute(PAUSE_NS)
            elif code == intercepts.HLT:
                self.cpu.halts = True
            state.rip += intercepts.LENGTH[code]
            self._finish()

    def _msr(self, writes: bool) -> bool:
        """RDMSR or WRMSR; False for #GP."""
        state = self.cpu.state
        msr = state.register(RCX) & LOW32
        try:
            if writes:
                self.cpu.wrmsr(msr, (state.register(RDX) & LOW32) << 32 | state.register(RAX) & LOW32)
                return True
            value = self.cpu.rdmsr(msr)
        except GuestFault:
            return False
        state.set_register(RAX, value & LOW32)
        state.set_register(RDX, value >> 32)
        return True

    def _finish(self) -> None:
        """The exit's instruction is done: back into the guest, unless it sleeps or others come first."""
        self.cpu.state.end_shadow()
        self.cpu.ram.forget_code()
        if self.cpu.halts or self.cpu.ending is not None or self.cpu.env.peek() <= self.cpu.now:
            self.cpu.stop_soon()
            return
        if self.cpu.attention or self.cpu.injecting is not None:
            self.cpu.inject()
        if self.cpu.pausing:
            self.cpu.stop_soon()
