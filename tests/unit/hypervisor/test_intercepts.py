"""What a vCPU remembers of its accesses: it is forgotten when a bus changes, and the trace shows every exit."""

import pytest

from vmio.drivers import pic
from vmio.hypervisor.exits import ExitReason
from vmio.modes import attachment, one_guest


class Says:
    """A device whose registers read as `value`; it keeps what is written."""

    def __init__(self, value):
        self.value, self.written = value, []

    def read(self, offset, size):
        return self.value

    def write(self, offset, size, value):
        self.written.append((offset, size, value))


@pytest.fixture
def guest():
    return one_guest(ram_mib=1, vcpus=2).guest


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_port_answers_from_who_is_there_now(guest, size):
    """IN and OUT go by what the first access found out: nobody, a device, another device elsewhere, nobody again."""
    old, new = Says(0x11), Says(0x22)

    def every_vcpu():
        seen = []
        for cpu in guest.vcpus:
            read, write = {1: (cpu.inb, cpu.outb), 2: (cpu.inw, cpu.outw), 4: (cpu.inl, cpu.outl)}[size]
            write(0x708, 5)
            read(0x708)
            seen.append(read(0x708))
        return seen

    ones = (1 << 8 * size) - 1
    assert every_vcpu() == [ones] * 2
    first = guest.io.attach(0x700, 0x10, old, "old", width=4)
    assert every_vcpu() == [0x11] * 2
    guest.io.detach(first)
    second = guest.io.attach(0x704, 0x08, new, "new", width=4)
    assert every_vcpu() == [0x22] * 2
    guest.io.detach(second)
    assert every_vcpu() == [ones] * 2
    assert old.written == [(8, size, 5)] * 2 and new.written == [(4, size, 5)] * 2
    assert (first.reads, first.writes, second.reads, second.writes) == (4, 2, 4, 2)
    assert guest.cpu.exits.by_device() == {"nobody": 6, "old": 3, "new": 3}


def test_memory_and_string_io_answer_from_who_is_there_now(guest):
    cpu, at = guest.cpu, 1 << 30
    for value in (0x33, 0x44):
        port = guest.io.attach(0x720, 4, Says(value), f"port{value:x}")
        registers = guest.mmio.attach(at, 4096, Says(value), f"bar{value:x}", width=4)
        assert cpu.load(at + 8, 4) == value
        cpu.insb(0x720, 0x1000, 2)
        assert cpu.read(0x1000, 2) == bytes([value]) * 2
        guest.io.detach(port)
        guest.mmio.detach(registers)
    assert cpu.load(at + 8, 4) == 0xFFFF_FFFF
    cpu.insb(0x720, 0x1000, 2)
    assert cpu.read(0x1000, 2) == b"\xff\xff"


def test_the_trace_has_interrupts_from_outside_and_the_window():
    board = one_guest(attachment("serial", "emulated"), ram_mib=4).board
    cpu, price = board.guest.cpu, board.guest.host.costs.hypercall_ns
    pic.init(cpu)
    pic.connect(cpu, 0, lambda cpu: None)
    cpu.outb(0x43, 0x30)
    cpu.outb(0x40, 0)
    cpu.outb(0x40, 1)                                     # 256 ticks
    cpu.keep_trace()
    cpu.compute(1_000_000)
    taken = cpu.trace[0]
    assert (taken.reason, taken.guest, taken.vcpu, taken.cost) == (ExitReason.EXTERNAL_INTERRUPT, "guest0", 0, price)
    assert (taken.address, taken.size, taken.value, taken.write, taken.count) == (0, 0, 0, False, 1)
    cpu.cli()
    pic.connect(cpu, 4, lambda cpu: cpu.inb(0x3FA))
    cpu.outb(0x3F9, 2)                                    # THR empty: it waits for STI
    cpu.sti()
    reasons = [exit.reason for exit in cpu.trace]
    assert reasons.count(ExitReason.EXTERNAL_INTERRUPT) == reasons.count(ExitReason.INTERRUPT_WINDOW) == 1
    assert sum(exit.cost for exit in cpu.trace if exit.reason is ExitReason.INTERRUPT_WINDOW) == price


def test_the_trace_has_every_exit_that_is_counted():
    board = one_guest(attachment("serial", "emulated"), ram_mib=4).board
    cpu = board.guest.cpu
    cpu.keep_trace()
    cpu.cpuid(1)
    cpu.rdmsr(0x4000_0020)
    cpu.hypercall(0x0FFF)
    cpu.outb(0x80, 7)
    cpu.load(1 << 40, 4)
    cpu.insb(0x3F8, 0x1000, 3)
    assert [(exit.reason.value, exit.address, exit.value, exit.write, exit.count) for exit in cpu.trace] == [
        ("CPUID", 0, 1, False, 1), ("RDMSR", 0x4000_0020, 0, False, 1), ("VMCALL", 0x0FFF, 0x0FFF, False, 1),
        ("IO_INSTRUCTION", 0x80, 7, True, 1), ("EPT_VIOLATION", 1 << 40, 0xFFFF_FFFF, False, 1),
        ("IO_INSTRUCTION", 0x3F8, 0, False, 3)]
    assert len(cpu.trace) == cpu.exits.total and sum(exit.cost for exit in cpu.trace) == cpu.exits.ns == cpu.now
