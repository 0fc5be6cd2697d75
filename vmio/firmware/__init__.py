"""What a PC's firmware does before an operating system runs, for guests whose instructions are machine code.

    bzimage       reads a kernel's file, and says what is wrong with it
    loader        puts kernel, command line and initramfs into RAM, and says in which state the processor enters
    zero_page     boot_params: what the kernel is told of the machine
    longmode      page tables and descriptors for an entry in 64-bit mode
    pci_setup     routes, addresses and interrupts of PCI; the registers of power management
    acpi, aml     tables that tell of a VMBus, and how to switch off
    command_line  Linux's, in parts that say what for

There is no BIOS code: nothing here is executed by a guest, and none of it is counted as exits.
"""
