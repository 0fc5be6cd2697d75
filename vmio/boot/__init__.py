"""A real operating system as guest: one kernel, as it is shipped, on our board, with its disks in any mode.

    result = boot(BootParams(modes=("emulated", "split")), kernel, initrd, medium)
    result.console_text, result.exits, result.phases, result.interrupts()

    kept      the kernel of `vmio linux get`, with an initramfs for these disks
    params    what is asked for;  machine  the machine that it is booted on
    console   what the serial port shows: text that ends the run, marks between phases, answers typed
    run       power-on to the end, whatever ends it;  watchdog  the end by the clock on the wall
    result    what was counted;  checkpoint  a booted machine that is kept, and goes on elsewhere
    terminal  a person at the console;  command  `vmio boot`

Needs Unicorn (`vmio/processors/unicorn`).
"""
