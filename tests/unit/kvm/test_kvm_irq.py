"""Interrupts by irqfd into a guest on a real processor: the handler's own counter in RAM is the witness."""

import threading
import time

import pytest

from vmio.processors.kvm import probe
from vmio.processors.kvm.code import Code

USABLE, REASON = probe.usable()
if not USABLE:
    pytest.skip(f"NOT RUN ON REAL HARDWARE: {REASON}", allow_module_level=True)

from vmio.processors.kvm import api, irq  # noqa: E402
from vmio.processors.kvm import vm as vm_module  # noqa: E402
from vmio.processors.kvm.guest import DATA, Guest  # noqa: E402
from vmio.processors.kvm.vcpu import End  # noqa: E402

VECTOR, PORT = 0x40, 0x80


@pytest.fixture
def guest():
    try:
        guest = Guest(interrupts=True)
    except OSError as error:
        pytest.skip(f"NOT RUN ON REAL HARDWARE: this host has no interrupt controller in the kernel: {error}")
    with guest:
        yield guest


def outs(count):
    code = irq.enable(Code())
    for value in range(count):
        code.out(PORT, value)
    return code


def test_a_signal_runs_the_handler_and_makes_no_exit(guest):
    interrupt, seen = irq.Interrupt(guest, VECTOR, DATA), []

    def answer(exit):
        seen.append(interrupt.taken())
        interrupt.signal()
    run = guest.run(outs(20), answer)
    assert run.end is End.DONE and len(run.exits) == 21        # 20 OUTs and the one that says "finished"
    assert seen == list(range(20)) and interrupt.taken() == 20


def test_signals_not_taken_yet_are_one(guest):
    interrupt = irq.Interrupt(guest, VECTOR, DATA)
    run = guest.run(outs(2), lambda exit: [interrupt.signal() for _ in range(3)] if exit.value == 0 else None)
    assert run.end is End.DONE and interrupt.taken() == 1


def test_a_guest_that_only_looks_at_memory_is_interrupted_from_another_thread(guest):
    """It never exits until the handler has run: CMP QWORD [counter], 1; JB back."""
    interrupt = irq.Interrupt(guest, VECTOR, DATA)
    wait = b"\x48\xbf" + DATA.to_bytes(8, "little") + b"\x48\x83\x3f\x01\x72\xfa"
    other = threading.Thread(target=lambda: (time.sleep(0.02), interrupt.signal()))
    other.start()
    run = guest.run(irq.enable(Code()).raw(wait), seconds=10)
    other.join()
    assert run.end is End.DONE and len(run.exits) == 1 and interrupt.taken() == 1


def test_without_a_signal_nothing_happens(guest):
    interrupt = irq.Interrupt(guest, VECTOR, DATA)
    assert guest.run(outs(3)).end is End.DONE and interrupt.taken() == 0


def test_a_vector_of_the_processors_own_is_refused(guest):
    with pytest.raises(ValueError, match="vector 0xe"):
        irq.Interrupt(guest, 14, DATA)


def test_without_a_controller_the_host_says_so():
    with Guest() as guest, pytest.raises(OSError, match="KVM_(SET_GSI_ROUTING|IRQFD|CAP_IRQFD)"):
        irq.Interrupt(guest, VECTOR, DATA)


def test_the_local_apic_alone_will_do(monkeypatch):
    """A host that refuses PIC and I/O APIC."""
    real = irq.call

    def call(fd, number, argument=0):
        if number == api.CREATE_IRQCHIP:
            raise vm_module.KvmError("KVM_CREATE_IRQCHIP", OSError(25, "Inappropriate ioctl for device"))
        return real(fd, number, argument)
    monkeypatch.setattr(irq, "call", call)
    try:
        guest = Guest(interrupts=True)
    except OSError as error:
        pytest.skip(f"NOT RUN ON REAL HARDWARE: this host has no split controller: {error}")
    with guest:
        interrupt = irq.Interrupt(guest, VECTOR, DATA)
        guest.run(outs(5), lambda exit: interrupt.signal())
        assert interrupt.taken() == 5


def test_a_guest_with_interrupts_still_dies_of_a_fault(guest):
    irq.Interrupt(guest, VECTOR, DATA)
    assert guest.run(Code().hlt()).end is End.TRIPLE_FAULT
