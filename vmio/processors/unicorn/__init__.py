"""The floor of machine code in software: a vCPU that executes x86-64 instructions, by Unicorn, QEMU's translator as a library.

A guest of this processor may be a whole operating system, as it is shipped.  What exits, exits into the same
`VCpu` methods that a generator calls: the same rows, counts and prices.

    package   Unicorn itself: is it there, is it the version that this floor knows
    layout    where the processor's state lies in Unicorn's saved context; measured at the start, refused if it differs
    state     that context as registers;  paging  the guest's own page tables
    deliver   exceptions and interrupts through the guest's IDT and TSS
    ram       guest memory, holes, pages of the hypervisor's, code that DMA has changed
    portio    IN, OUT and their string forms;  intercepts  CPUID, MSRs, HLT, PAUSE, VMCALL
    answers   what is done at each of these;  vcpu  all of it: a `VCpu` with a program
    checkpoint  its state as plain data

Unicorn is licensed under the GPL, version 2, and no part of vmio: `pip install unicorn==2.1.4`.  Nothing else imports it.
What this processor can't do is in docs/linux.md.
"""
