raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Run the same requests through the emulated, the split and the passed-through disk, and change one
# thing after the other until the order of the three turns round.
#
# **What you'll learn**
# 1. Where a request's time goes in each mode, and which part to work on.
# 2. When splitting stops mattering, and when passthrough stops paying.
# 3. Why the answer depends on the processor.
#
# **What you'll need.** {lesson:pass_a_device_through}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.compare_modes import panel as lesson
# %% [markdown]
# ## Three ways to one disk
#
#     emulated      guest: ATA driver ══ exits ══> emulator ── copies ──> disk
#
#     split         guest: StorVSC ── ring ──> worker on the host ──────> disk
#                                     └ an exit to wake it
#
#     passthrough   guest: NVMe driver ── doorbell, no exit ────────────> disk
#                                         └ IOMMU between disk and memory
#
# The disk's own time is the same in all three. What differs is what surrounds it: exits, copies, somebody who must be
# woken.
# %% [markdown]
# ## Predict
#
# An emulated disk that moves data by DMA (direct memory access) takes about 20 exits for a read of 4 KiB, a split one 2. The disk itself takes
# 75 us. (All three run on the same host, one whose processor virtualizes the APIC, its advanced
# programmable interrupt controller: no end of interrupt exits, but for that of the emulated PC's PIC, the old programmable
# interrupt controller.)
# %%
ask = predict("splitting-saves", "How much of the time of such a read does the split driver save, in %?", "%")
ask
# %% [markdown]
# ## Run
# %%
same = lesson.run()
ask.compare(same.saved("split"))
print()
print(same.table(title="64 reads of 4 KiB, one at a time; emulated by DMA"))
print("\n" + "\n".join(same.words()))
# %% [markdown]
# *Host CPU* (central processing unit) is what the host's own code took of its cores for a request: handling exits, the worker, copying. *p50* and
# *p99* say which latency 50 and 99 of 100 requests don't exceed.
# %% [markdown]
# ## Compare
#
# "Emulated" is not one thing. The oldest drivers move each word by an instruction of its own; string I/O moves a sector
# with one exit; with DMA the emulator moves the whole request.
# %%
print(lesson.transfers_table())
# %% [markdown]
# And real workloads are not one size. These are the recorded traces, from their first request to their last.
# %%
print(lesson.traces_table())
# %% [markdown]
# ## Explore: any workload, three modes at once
# %%
panel = lesson.panel()
for settings in (dict(workload="untar"), dict(workload="mix", queue_depth=16, delivery="posted")):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(queue_depth=1, delivery="injected")
panel
# %% [markdown]
# Try: how many requests in flight until the worker's waking hardly shows? What do writes change, and why are they faster?
# What does a strict IOMMU (input-output memory management unit) cost? (There is no slider for random order: this disk has no
# heads to move, and takes as long for it.)
# %% [markdown]
# ## Where does splitting stop mattering, where does passthrough stop paying?
#
# Each line is a run of all three modes at each step. We call less than 10 % "not worth the trouble": the dotted line.
# %%
print(lesson.sweep("device").table())
print("\n" + "\n".join(lesson.sweep("device").words()))
# %%
for against in ("size", "exits", "cores"):
    print(f"{against}: " + ". ".join(lesson.sweep(against).words()) + ".")
# %%
lesson.break_even_panel()
# %% [markdown]
# ## From old processors to new ones
#
# The same reads, at the prices of several processors; the disk is the same everywhere. The order is not one of years:
# mitigations against speculation, a guest inside a guest, and who measured what count for as much as the generation.
# (`kvm-recorded` is one real host whose device model is a Python program: what leaves the kernel there is dear.)
# %%
print(lesson.presets_table())
# %% [markdown]
# Where these prices come from, and what others have measured beside what this model says: {lesson:check_the_model}.
# %% [markdown]
# ## Explain
#
# **Exits are a price times a count.** Emulation by words pays thousands of times, by DMA twenty times, and no mode gets
# below what wakes a sleeping guest. With the price falls what splitting saves - where one request is in flight. The split
# driver's own price is the worker that must be woken.
#
# **With many requests in flight, the ring wins twice.** One exit, one waking and one interrupt serve many requests, and
# the disk works on several at a time. A disk of type ATA (AT attachment) takes one: no emulator can give it a queue that its registers don't have.
#
# **The device hides everything, if it is slow enough.** At 4 ms for a read no mode is distinguishable from another, and
# that is why emulation was good enough for so long. At 10 us everything shows. Host CPU is another matter: it is spent
# however slow the disk is, and it is what a host with many guests runs out of first.
# %% [markdown]
# ## Exercises
# %% [exercise] find-the-break-even
# %% [stub] find-the-break-even
# %%
ex = exercise("find-the-break-even")
ex.check(break_even)
# %% [exercise] choose-a-mode
# %% [stub] choose-a-mode
# %%
ex = exercise("choose-a-mode")
ex.check(choose)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** boots generation 1 guests from an emulated disk of type IDE (integrated drive electronics) and takes the
#   synthetic one over as soon as its driver
#   runs; generation 2 guests never see the emulated one.
# - **QEMU/KVM** has all three side by side: `ide-hd`, `virtio-blk`, `vfio-pci`; `iothread` gives the worker a core of its
#   own, and polls before it sleeps.
# - **Clouds** let the device do the host's half: functions of NVMe (non-volatile memory express) made by hardware, passed
#   through, and the guest's ordinary
#   NVMe driver.
#
# {neighbours}
