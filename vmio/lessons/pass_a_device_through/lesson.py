raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Give a guest a disk of its own, count what is left to trap, and find out what stands between that
# disk and everybody else's memory.
#
# **What you'll learn**
# 1. Why a passed-through device costs almost no exits, and which ones remain.
# 2. What an IOMMU (input-output memory management unit) is: page tables for devices, a cache of them, and the order in which the cache must be told.
# 3. What you give up.
#
# **What you'll need.** {lesson:split_a_driver}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.pass_a_device_through import panel as lesson
# %% [markdown]
# ## Who touches what
#
#     guest's own NVMe driver ── doorbell (a store, no exit) ──> NVMe controller
#              ▲                                                      │
#              │                                                DMA: guest-physical
#              │                                                   addresses
#              │                                                      ▼
#              └── interrupt <── interrupt remapping <──────────── IOMMU ──> this guest's pages
#                                                                     │
#                                                       anything else: a fault record
#
# With *passthrough* (Hyper-V: discrete device assignment, DDA) the guest programs the real device. The driver is the
# same class that the host used in the last lesson: `vmio/drivers/nvme.py`.
# %% [markdown]
# ## Predict
# %%
ask = predict("one-direct-read", "One 4 KiB read on a disk of its own, asleep until it is done: how many exits?", "exits")
ask
# %% [markdown]
# ## Run
# %%
reads = lesson.run()
ask.compare(reads.exits_total / lesson.READS)
print()
print(lesson.modes_table())
# %% [markdown]
# ## Compare
#
# Which instructions are left? The doorbells are not among them: the page with the controller's registers is mapped into
# the guest, so a store to it goes straight to the device. A guest that sleeps executes HLT (halt), and that is all: nobody runs
# whom the disk's interrupt could stop, and the processor virtualizes the APIC
# (advanced programmable interrupt controller; {lesson:split_a_driver}), so its end is no exit.
#
# With many reads in flight the guest is awake when interrupts come. An *injected* one goes to the host: the core leaves
# the guest for the host's handler, an EXTERNAL INTERRUPT exit, and then the vector is handed on. A *posted* one is
# written into a descriptor of the vCPU (virtual processor) by the IOMMU, and the processor takes it from there without leaving
# the guest. A guest that polls needs neither.
# %%
print(lesson.what_exits_table())
# %% [markdown]
# A real Linux driver for NVMe (non-volatile memory express, the interface of such disks) makes two accesses for such a read - two
# doorbells - and gets one interrupt. The set-up is where the exits went: the configuration space of PCI (peripheral component interconnect),
# the BARs (base address registers: where the device's own
# registers are found) and interrupts come through vPCI, a channel of VMBus (virtual machine bus).
# %% [markdown]
# ## Explore: three modes, one workload
# %%
panel = lesson.modes_panel()
for settings in (dict(mode="emulated"), dict(mode="split"), dict(mode="passthrough"), dict(queue_depth=16),
                 dict(delivery="posted")):
    panel.set(**settings)
    print(panel.text.split("\nexits by")[0].strip() + "\n")
# %%
panel.set(delivery="injected", queue_depth=1)
panel
# %% [markdown]
# ## The IOMMU remembers
#
# Walking four levels of tables for each transfer would be slow, so the IOMMU keeps translations in a cache, the IOTLB
# (I/O translation lookaside buffer).
# How many pages can a device use before they no longer fit?
# %%
panel = lesson.iotlb_panel()
print(panel.text)
panel.set(pages=512)
print("\n" + panel.text)
# %%
panel
# %% [markdown]
# ## What the IOTLB remembers too long
#
# A driver maps a buffer, the device uses it, the driver unmaps it and gives the page to somebody else. *Strict*: the
# IOTLB is told at once. *Lazy*: it is told later, for many buffers in one go. Here a device keeps using an address that
# was taken from it.
# %%
print(lesson.window_table())
# %% [markdown]
# That middle row is the *window of danger*. How wide is it? Let 64 buffers come and go, each in a page of its own. As soon as one is
# unmapped, its page gets a new owner, who keeps a secret there. The device was never told: some buffers later it reads the page once
# more, and writes into it. How many of these late writes land, in strict mode and in lazy mode?
# %%
panel = lesson.late_panel()
for settings in (dict(), dict(batch=1), dict(batch=256)):
    panel.set(**settings)
    print(panel.text.split('\n\n"')[0] + "\n")
# %%
panel.set(batch=16)
panel
# %% [markdown]
# Drag *Batch* up, and look at both figures: what the driver pays falls, and what the device still reaches grows. Then drag *Late by*
# from 0 to 15, with *Batch* at 16: the later the device, the more often it is refused, for the IOTLB was told in between. One further,
# and 60 pages are overwritten as at 0: once the IOTLB is told, an address is free for a newer buffer, and the write goes into
# *its* page. Last, set *Batch* to 256, *Late by* to 40 and *IOTLB entries* to 16. Nothing lands: so small an IOTLB has
# forgotten by itself. That is luck
# and no defence.
#
# No access went past the page table here: the table was right all the time. Only the cache was not told. Lazy mode is Linux's
# default on many machines all the same; look at what strict mode costs when the guest maps each buffer itself. (*Static* maps all of
# the guest's memory once: nothing to invalidate, and nothing of the guest is protected from its own device. Its neighbours are.)
# %%
print(lesson.strategies_table())
# %% [markdown]
# ## Explain
#
# **No exit, because nobody has to look.** The store to the doorbell page finds a mapping and goes to the device
# (`vmio/hypervisor/vcpu.py`, method `store`). What the device may touch was decided beforehand, in a page table of the same
# kind that gives the guest its memory: `vmio/machine/pagetable.py` is used twice.
#
# **Safety is in the tables and in telling the cache.** `vmio/passthrough/iommu/domain.py` writes the table;
# `vmio/passthrough/iommu/iommu.py` invalidates. Forgetting the second is a hole that no test of the first can see.
#
# **What you give up.** One device serves one guest (or one for each virtual function). All of the guest's memory must be
# there, since the device may write to any page at any time: ask for some of it back, and the host refuses and says why
# (`Guest.check_movable` in `vmio/hypervisor/guest.py`). A real host can't ask a device what it holds, either, so it makes no checkpoint
# of such a guest and doesn't move it. Our machine can save such a guest, because here the device is a model whose queues and
# commands can be read (`docs/checkpoint.md`): it is a simulator's snapshot, and no hypervisor has that.
# %% [markdown]
# ## Exercises
# %% [exercise] build-a-domain
# %% [stub] build-a-domain
# %%
ex = exercise("build-a-domain")
ex.check(build)
# %% [exercise] find-the-missing-invalidation
# %% [stub] find-the-missing-invalidation
# %%
ex = exercise("find-the-missing-invalidation")
ex.check(release)
# %% [exercise] predict-passthrough-exits
# %% [stub] predict-passthrough-exits
# %%
ex = exercise("predict-passthrough-exits")
ex.check(exits)
# %% [exercise] hand-a-device-over
# %% [stub] hand-a-device-over
# %%
ex = exercise("hand-a-device-over")
ex.check(hand_over)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V**: DDA (`Dismount-VMHostAssignableDevice`, `Add-VMAssignableDevice`) hands a whole PCIe (PCI express) device to a guest over
#   vPCI; SR-IOV (single-root I/O virtualization) network adapters give a virtual function beside the synthetic one, so that migration can fall back.
# - **KVM** (kernel-based virtual machine): VFIO (virtual function I/O) does the same from user space; the IOMMU group is the
#   smallest thing that can be handed over.
# - **Xen**: PCI passthrough with a stub driver in the control domain that holds the device until it is given away.
# - **Firecracker** leaves it out: fast starts and dense packing want memory that can be overcommitted.
#
# {neighbours}
