raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Turn a driver's accesses into machine code, run them on a real processor under KVM (kernel-based virtual
# machine, the hypervisor in Linux), and hold what comes out against the model.
#
# **What you'll learn**
# 1. That an exit is real: the same instructions stop a real processor, in the same order.
# 2. Which exits a hypervisor keeps to itself, and which ones reach the process that emulates the device.
# 3. What an exit costs when it is measured instead of assumed.
#
# **What you'll need.** {lesson:trap_an_instruction}. About {minutes} minutes. A Linux PC whose
# `/dev/kvm` you may open is best; on any other machine you see what was recorded on one, and all the counts are the same.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.run_on_real_hardware import panel as lesson
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.where())
# %% [markdown]
# If it says *no permission*: `sudo usermod -aG kvm $USER`, log in again. In a virtual machine, its host must allow nested
# virtualization; in a container, add `--device /dev/kvm`. `python -m vmio kvm` says what is missing.
#
# ## Who touches what
#
#     this notebook: Python, vmio/kvm ── ioctl(KVM_RUN) ──> Linux's kernel ── VM entry ──> guest: machine code, ring 3
#          ▲    device models answer                            │    ▲                         │
#          │                                                    │    └──────── VM exit ────────┘
#          └──────── exit to user space ────────────────────────┤       OUT, IN, MOV to no memory, CPUID
#                                                               │
#                                              or answered there: doorbells, coalesced writes, CPUID
#
# There are two ways to be stopped. A *VM exit* goes from the guest to the hypervisor. If that can't answer, it goes on to
# *user space*: here, to Python. The model counts the first kind, `KVM_RUN` returns with the second.
# %% [markdown]
# ## Predict
# %%
ask = predict("string-on-kvm", "REP OUTSB with 64 bytes is one exit on the model. How often does KVM come back to us?", "exits")
ask
# %% [markdown]
# ## Run
#
# What the guest executes are bytes like these; there is no operating system below them. (`vmio/processors/kvm/code.py`)
# %%
print(lesson.bytes_table())
# %%
exits, rings = lesson.counts("REP OUTSB", 64)
ask.compare(exits)
print()
print(lesson.kinds_table())
# %% [markdown]
# ## Compare
#
# Most rows agree, and the processor did not know the model. The others are no accidents:
#
# - *String output.* The processor exits once. KVM's emulator then hands each unit to user space by itself. For *string
#   input* it reads ahead: 1,024 bytes per exit, so a disk's sector is one exit.
# - *A doorbell* still exits, but the kernel only adds 1 to a counter (`ioeventfd`) and goes back in. No one has to wake up.
# - *Coalesced writes* wait in a ring of 169 until something else exits.
# - *CPUID* (processor identification) exits unconditionally: no hypervisor can let a guest have it. Yet it never leaves the kernel.
#
# Now read the table for what is absent: RAM (random-access memory) and a *mapped BAR* (base address register: it says where a
# device's registers lie in memory) cost nothing on either side. That is all there is to device passthrough on the
# processor's part.
# %% [markdown]
# ## Whole drivers
#
# Each driver of this course runs on the model while its accesses are written down; the record becomes machine code; the
# *same device models* answer it, now asked by a real processor. Compared are each exit in order, each byte read, and
# the final state of every chip.
# %%
print(lesson.drivers_table())
# %%
print(lesson.driver_table("ata-string"))
print()
print(lesson.driver_table("nvme-doorbell"))
# %% [markdown]
# Only the model has HLT (halt). Our programs run in ring 3, the processor's user mode, where a guest may not halt: the program ends
# there and the host lets time pass. Everything else is there, one for one, or by a rule from the list above.
# %% [markdown]
# ## One read, three ways
#
# Now what a driver does for 4 KiB, part by part: ours on the model, exits; Linux's own drivers on QEMU's devices, accesses as they were
# recorded (for an IDE disk, integrated drive electronics, and an NVMe disk, non-volatile memory express) or counted (virtio: one
# kick); and ours once more, exits to user space under KVM.
# %%
print(lesson.reads_table())
# %% [markdown]
# Linux and ours agree where it matters: which mode needs how many. Where they differ by a few, Linux is careful; where they
# differ by a thousand, somebody counts a string instruction's units. A split driver's signal is one exit for
# everybody, and what a guest's own device gets is seen by nobody.
# %% [markdown]
# ## What a guest can reach
#
# A guest on KVM has *memory slots*: ranges of its addresses with memory behind them. What is in no slot can't be reached; it
# can only be asked for, and we see who asks.
# %%
print(lesson.reach_table())
# %% [markdown]
# And a guest that breaks the rules? It hurts itself. An endless loop makes no exit at all, so only a timer's signal gets the
# processor back.
# %%
print(lesson.ends_table())
# %% [markdown]
# ## The other direction
#
# A device must be able to call the guest without stopping it. With `irqfd` a thread writes to a file, and the guest's
# interrupt handler runs. (`vmio/processors/kvm/irq.py`; the handler counts in the guest's own RAM.)
# %%
print(lesson.interrupts_line())
# %% [markdown]
# ## What an exit costs
#
# From here on times are no virtual time any more but wall-clock time: other hosts, other numbers. *Least* is the quietest of many rounds.
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.times_table())
# %% [markdown]
# The ladder of {lesson:trap_an_instruction} had four rungs from papers. Here they are measured: CPUID is a null exit, a doorbell on a port is
# answered by the kernel, one in memory as well, and a store to no memory goes all the way to Python and back.
# `kvm-recorded` is a preset like the others, in every lesson's panel. `this-host` joins the list where it was measured:
# below, or in another lesson by `from vmio.processors.kvm import recorded; recorded.offer_this_host()` before its panel.
# %%
print(lesson.prices_table(("kvm-2012", "nested-2019", "server-2022", "server-2024", "kvm-recorded")))
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.this_host_table())
# %% [markdown]
# The recorded host is a virtual machine itself: each trip to *its* user space is a long one. More than half
# of that time is Python's: the same loop in C takes the rest (`python -m vmio bench --only kvm`). A slow exit makes
# the lesson of this course louder. It does not change the counts.
# %% [markdown]
# ## Explore
#
# Choose an access. Where do the bars differ? Then change the preset: how far from the measured
# time does the model stay, and which of its prices is too low?
# %%
panel = lesson.panel()
for kind in ("REP OUTSB", "doorbell (ioeventfd), memory", "write to a mapped BAR"):
    panel.set(kind=kind)
    print(panel.text.split("\n\n")[0] + "\n")
# %%
# NBVAL_IGNORE_OUTPUT
# what is measured here, and the preset that comes of it, are this host's own
panel.set(kind="REP OUTSB")
panel
# %% [markdown]
# ## Explain
#
# **A hypervisor is a loop.** Enter the guest; learn why it stopped; answer; enter it again. In `vmio/processors/kvm/vcpu.py` that loop
# is `Vcpu.run`, fewer than fifty lines. QEMU's has the same shape. What it learns stands in the *run page* (`struct kvm_run`): memory
# that kernel and process share, one for each vCPU (virtual processor). When `KVM_RUN` returns, the kernel has written there why the guest stopped
# (`exit_reason`), and for a port its number, size and direction; the answer to an IN goes back the same way.
#
# **Fast paths move the answer, not the exit.** A doorbell and a port answered by Python stop the processor equally
# often. What differs is how far the news travels. That is why the price has rungs, and why a mapped page - no exit
# at all - is another class of thing.
#
# **A model is worth what it predicts.** Counts are predicted exactly, or a rule says why not. Times are predicted by
# four numbers; that is why they are measured.
# %% [markdown]
# ## Exercises
# %% [exercise] predict-the-exits
# %% [stub] predict-the-exits
# %%
ex = exercise("predict-the-exits")
ex.check(exits_seen)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **QEMU** maps a passed-through BAR as a memory slot, and registers doorbells of virtio and NVMe as `ioeventfd`.
# - **vhost** (in Linux's kernel) and **SPDK** (storage performance development kit, in user space) take both ends: guest to worker by ioeventfd, worker to guest by irqfd. The process that started
#   the guest sees none of it.
# - **Hyper-V** has the same fast path under another name: `HvCallSignalEvent`, one hypercall, answered by the hypervisor.
# - **Firecracker** and **crosvm** are, at heart, this loop with a short list of devices.
#
# {neighbours}
