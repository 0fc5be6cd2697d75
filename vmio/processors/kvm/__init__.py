"""The floor of real hardware: a vCPU under Linux's KVM, from Python's standard library alone.

Everywhere else in this package a guest is a Python generator and an exit is a
function call.  Here the guest is x86-64 machine code on a real core and an
exit is what the processor makes of it; the records are the same `Exit`s.

    api       numbers and structures of the ioctl interface
    vm, vcpu  a virtual machine, its memory slots; a processor and its run loop
    fast      doorbells and coalesced writes: accesses that the kernel answers
    irq       interrupts by irqfd: the other direction, without an exit as well
    longmode  page tables and task state for a guest in user mode
    code      a tiny assembler;  guest  all of this put together
    record    a driver's accesses on the model;  compile, expect  as machine code, and the exits it must make
    replay    run that, answered by the model's devices (stage: the VM for it);  programs  drivers to replay
    report    all of them, side by side
    probe     can this host do it, and if not, why
    steps     small programs as data, on the model and here;  measure  ns per exit
    recorded  the same answers, written down, for hosts that can't be asked

Only `probe`, `code`, `record`, `compile`, `expect` and `programs` can be imported on a host without Linux.
"""
