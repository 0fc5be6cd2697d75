raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Run a guest one instruction at a time and write down which of them end up in the hypervisor.
#
# **What you'll learn**
# 1. Which guest instructions cause a VM exit, and which never do.
# 2. Who answers an exit - the hypervisor itself, or a worker process on the host - and why that differs by a factor of about four.
# 3. Why one string instruction can do the work of a thousand exits.
#
# **What you'll need.** Python, and what a port and an interrupt are. About {minutes} minutes.
#
# {next}
# %%
from vmio.lab import exercise, predict
from vmio.lessons.trap_an_instruction import panel as lesson
# %% [markdown]
# ## Who touches what
#
#     guest ── instruction ──> does it exit?  no ──> guest RAM
#                                  │ yes
#                                  ▼
#                             hypervisor ── counts it, charges its price
#                                  │
#                 ┌────────────────┴────────────────┐
#           answers itself                    asks the worker
#        PIC, PIT, CPUID, MSR,            UART, disk, RTC: device models
#        hypercall, HLT                   in a process of the host
#
# A *VM exit* is the moment when the processor stops running the guest and starts running the hypervisor. Hyper-V
# calls it an intercept; teachers like to say trap. The guest does not notice: its next instruction finds the answer
# in its register.
#
# The names in the drawing are parts of every PC. The UART (universal asynchronous receiver and transmitter) is the serial
# port's chip. The PIC (programmable interrupt controller) and the PIT (programmable interval timer) are the first interrupt
# controller and the first timer, and the RTC (real-time clock) keeps the date. An MSR (model-specific register) is one of the
# processor's own registers and has a number; CPUID (processor identification) asks the processor what it can do. HLT (halt)
# sleeps until an interrupt comes, and a *hypercall* calls the hypervisor as a program calls its system. Memory is RAM
# (random-access memory).
# %% [markdown]
# ## Predict
#
# A guest executes these twelve instructions:
#
#     outb(0x3F8, 65)         a byte to the UART
#     inb(0x3FD)              the UART's line status
#     outb(0x21, 0xFF)        the interrupt controller's mask
#     outb(0x80, 1)           a port where nobody answers
#     store(0x1000, 4, 7)     into RAM
#     load(0x1000, 4)         from RAM
#     write(0x2000, ...)      100 bytes into RAM
#     outsb(0x3F8, 0x2000, 100)   REP OUTSB: 100 bytes from RAM to the UART
#     load(0xFEC00000, 4)     from an address where there is no RAM
#     cpuid(0)
#     rdmsr(0x40000020)       Hyper-V's reference clock
#     hypercall(0)
# %%
ask = predict("twelve-instructions", "How many VM exits do they cause?", "exits")
ask
# %% [markdown]
# ## Run
# %%
cpu = lesson.machine()
cpu.outb(0x3F8, 65)
status = cpu.inb(0x3FD)
cpu.outb(0x21, 0xFF)
cpu.outb(0x80, 1)
cpu.store(0x1000, 4, 7)
seven = cpu.load(0x1000, 4)
cpu.write(0x2000, b"x" * 100)
cpu.outsb(0x3F8, 0x2000, 100)
nothing = cpu.load(0xFEC0_0000, 4)
vendor, clock, refused = cpu.cpuid(0), cpu.rdmsr(0x4000_0020), cpu.hypercall(0)
print(f"line status {status:#x}, from RAM {seven}, from nowhere {nothing:#x}")
print(f"reference clock {clock} x 100 ns, hypercall status {refused}")
# %%
print(lesson.exit_table(cpu))
# %% [markdown]
# ## Compare
# %%
ask.compare(cpu.exits.total)
print()
print(lesson.trace_table(cpu))
# %% [markdown]
# Three instructions never left the guest: the two accesses to RAM at 1000h and the hundred bytes at 2000h. The
# *second-level page table* (Intel: EPT, extended page tables; AMD: NPT, nested page tables) has a page there, so the processor
# found the memory by itself. At FEC00000h it has none: that is an EPT violation, and it is also how a device's registers in
# memory are emulated.
#
# Some exits are *unconditional*: CPUID and the hypercall's VMCALL always leave the guest, whatever the hypervisor would like
# (Intel's manual, vol. 3C, 26.1.2). For the others it has asked: port by port for IN and
# OUT, register by register for MSRs, and for HLT with one bit. It could let a guest halt its core, if nobody else needed that.
#
# The port where nobody answers was an exit too, and no cheaper: somebody has to find out that nobody is there.
# What nobody drives reads as ones, as on a PC's bus.
# %% [markdown]
# ## What stops a guest that asks for nothing
#
# Not every exit is an instruction that the guest chose. What the host does shows, too, and hosts differ:
# %%
print(lesson.host_properties())
# %%
print(lesson.stops_table())
# %% [markdown]
# - *First touch.* Where RAM is backed *on demand*, the second-level table is empty at first. The first access to each page is an
#   EPT violation: the host finds a page, clears it, maps it. KVM (kernel-based virtual machine, the hypervisor in Linux) works
#   this way, and so does Hyper-V for the small guests that isolate containers. An ordinary Hyper-V guest has all of its RAM from
#   the *start*; a guest with a passed-through device has it *pinned*, for the device may write to any page at any time.
# - *The end of a time slice.* Where vCPUs (virtual processors) share a core, one that computes is stopped for the next, by an
#   interrupt of the host's timer.
#   (Ours have slices of 100 us; real schedulers have longer ones.) If the time is up while an exit is being handled, the
#   hypervisor has the core already, and no further exit is needed.
# - *The host's tick.* Linux's timer comes 250 times a second on a core that is in use. A guest that computes there is stopped for it; one
#   that sleeps is not. (No figure is published for Hyper-V.)
# - *A timer of the guest's own.* The deadline is an MSR, so a sleep is two exits: WRMSR, HLT.
#
# In the other lessons the host is the first one, RAM and all; `python -m vmio run --host kvm` has another (`--backing`, `--tick-hz`).
# What this model leaves out: accesses to the TPR (task priority register, a part of the APIC, the advanced programmable interrupt
# controller of each processor) where a hypervisor intercepts them; the second-level table's own walks, which are no exits but
# take time; the guest's own periodic tick; and large pages, with which first touches are fewer.
# `docs/differences.md` has the list.
# %% [markdown]
# ## What an exit costs
#
# The prices are not ours. Each comes from a published measurement whose row is in `data/published.csv`. Their sum is the
# *virtual time* that a run takes: the model's own clock, which is the same on every computer.
# %%
print(lesson.cost_table())
# %% [markdown]
# An exit climbs a ladder: into the hypervisor and back; finding who answers; decoding the instruction where the
# processor's own report is not enough; and, for a device model in a process of the host, on to that process and
# back. The last step costs more than all others together. That is why KVM keeps the interrupt controller and the
# timer in the kernel, and why this model does.
#
# Is the ladder right? It was fitted on measurements of 2012. Here are measurements that were *not* used for the
# fit, as ratios to an empty hypercall on the same machine:
# %%
print(lesson.ladder_table())
# %% [markdown]
# Four of five are within a tenth. The one that is not is an Arm server answering in the kernel: there is no x86
# instruction to decode there, so our ladder has one step too many. A model says what it leaves out.
# %% [markdown]
# ## Explore
#
# Choose an instruction, drag *How many*, and change the *Cost preset*: each is a processor of some year, with its prices.
# Start with `MOV to RAM`, then `OUT to a UART`, then `REP OUTS to a UART`.
# %%
panel = lesson.panel()
print(panel.text)
for name in ("REP OUTS to a UART", "MOV to RAM"):
    panel.set(instruction=name)
    print("\n" + panel.text.split("\n\n")[0])
# %%
panel.set(instruction="OUT to a UART")
panel
# %% [markdown]
# ## Explain
#
# **Exits follow instructions, not bytes.** `REP OUTSB` hands the hypervisor an address and a count; it moves the
# bytes from guest memory itself. In the drawing 64 of them are one exit and 64 accesses to the UART. Read
# `vmio/hypervisor/string_io.py`: the loop is on the other side of the exit.
#
# **The hypervisor looks once and remembers.** Who answers at port 3F8h does not change from one OUT to the next, so
# the answer is kept (`vmio/hypervisor/handle.py`, class `InterceptTable`). Every number on this page is a sum over
# those rows; nothing is counted twice.
#
# **HLT is an exit that saves exits.** A guest that asks "is it done?" exits at each question. A guest that halts
# exits once, gives the core away, and is woken by an interrupt, whose end (EOI, end of interrupt) is one more OUT. In the panel,
# `HLT` shows two exits per tick (and five for setting up the timer and its interrupt); nearly all of the time the core is free for others.
# %% [markdown]
# ## Exercises
#
# Each has a check that runs your code on the machine. `ex.hint()` gives a hint, `ex.solution()` an answer, and
# `ex.explanation()`, once yours is right, says why it is so.
# %% [exercise] count-the-exits
# %% [stub] count-the-exits
# %%
ex = exercise("count-the-exits")
ex.check(count_exits)
# %% [exercise] send-in-one-exit
# %% [stub] send-in-one-exit
# %%
ex = exercise("send-in-one-exit")
ex.check(send)
# %% [exercise] sleep-until-the-tick
# %% [stub] sleep-until-the-tick
# %%
ex = exercise("sleep-until-the-tick")
ex.check(wait_for)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** lets the root partition install an *intercept* on ports, MSRs and memory (`HvCallInstallIntercept`);
#   the message goes to the guest's worker process, `vmwp.exe`, where the emulated devices live.
# - **KVM** returns from `KVM_RUN` to the user-space process with `KVM_EXIT_IO` or `KVM_EXIT_MMIO`, unless the kernel
#   has the device itself: the PIC, the I/O APIC and the PIT, or an `ioeventfd` that turns a write into a wake-up.
# - **Xen** sends such an access as an *I/O request* to a device model, usually QEMU in the control domain.
# - **Firecracker** has almost nothing to emulate: a UART, a keyboard controller that can only reset, and virtio.
# - KVM's instruction emulator reads ahead for `REP INS`: up to 1,024 bytes in one exit. For `REP OUTS` it may exit once
#   for each unit; this model moves all units in one.
#
# {neighbours}
