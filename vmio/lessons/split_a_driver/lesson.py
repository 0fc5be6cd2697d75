raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Follow one read from the guest's half of a driver to the hardware and back, byte by byte.
#
# **What you'll learn**
# 1. How a guest and its host meet: VMBus (Hyper-V's virtual machine bus), an offer, a shared ring, a doorbell.
# 2. Which structures one 4 KiB read is made of, and in whose memory they lie.
# 3. Why two thousand exits become two, and two become a fraction of one.
#
# **What you'll need.** {lesson:emulate_a_device}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.split_a_driver import panel as lesson
# %% [markdown]
# ## Who touches what
#
#     guest                                host
#     StorVSC ──> ring in guest memory ──> StorVSP ──> NVMe driver ──> NVMe disk
#        │                                   ▲                            │
#        ├── HvCallSignalEvent (1 exit) ─────┤                            │
#        │                                   │                            │
#        └── event flag + interrupt <────────┘  data: straight into the guest's pages
#
# A *split driver* has two halves. The guest's half, the **VSC** (virtualization service client), looks like a disk to
# the guest and only writes to memory. The host's half, the **VSP** (virtualization service provider), owns the hardware. They share nothing
# but two rings of bytes. No register is imitated, so nothing needs to exit - except to say "look".
# %% [markdown]
# ## Predict
# %%
ask = predict("one-split-read", "One 4 KiB read through a split driver, asleep until it is done: how many exits?", "exits")
ask
# %% [markdown]
# ## Run
#
# The guest finds the bus, negotiates a version, asks for offers, makes a GPADL (guest physical address descriptor list: its
# pages that the host may use), opens the channel, and asks the disk what it is. Then it reads eight sectors.
# %%
one = lesson.crossing(lba=2, sectors=8)
ask.compare(sum(one.exits.values()))
print()
print(lesson.bring_up_table(one))
# %% [markdown]
# The bring-up is paid once. VMCALL rings the doorbell (`HvCallSignalEvent`), HLT (halt) waits. Nothing is counted for the
# interrupt, nor for its end (EOI, end of interrupt): this host is a server as Hyper-V finds it since about 2013. Its
# processor *virtualizes the APIC* (advanced programmable interrupt controller), which hands interrupts to a processor: it
# delivers a vector to a vCPU (virtual processor), and takes the EOI
# from it, without an exit. The hypervisor says so in CPUID leaf 40000004h, and the driver believes it. On an older host
# the hypervisor emulates the APIC (`--apic emulated`). There it asks the guest to let such interrupts end by themselves
# (AutoEOI, automatic end of interrupt), so a guest asleep still counts two; but a vCPU that *runs* is stopped for every interrupt.
# %%
print(lesson.steps_table(one))
# %% [markdown]
# ## Compare
# %%
print(lesson.modes_table())
# %% [markdown]
# With more requests in flight a doorbell speaks for many, and so does an interrupt. The emulated disk cannot do that:
# its registers hold one request.
# %% [markdown]
# ## Explore
#
# Drag *In flight* from 1 to 32. Then set *Batch* to 1 and to 32: what do fewer interrupts cost? Set *Host cores* to 1.
# %%
panel = lesson.panel()
panel.set(queue_depth=1)
print(panel.text)
panel.set(queue_depth=32)
print("\n" + panel.text.split("\n\n")[0])
panel.set(batch=32)
print("\n" + panel.text.split("\n\n")[0])
# %%
panel.set(queue_depth=8, batch=8)
panel
# %% [markdown]
# ## Every structure on the way
#
# So much for the counts. What is it, then, that guest and host write to each other? The same read once more, byte by byte: each row of
# the dump is a field, with its place, its bytes and what they mean.
#
# **The request in the ring.** A descriptor, the guest's pages where the data shall go, and the request in the words of
# SCSI (small computer system interface), the language of disks: 120 bytes.
# The trailer tells where the record began.
# %%
print(one.steps[0].draw())
# %% [markdown]
# **What the host's own driver gave to the hardware.** The guest's page is now a host-physical address: the controller
# will write straight into the guest's memory. Nobody copies the data.
# %%
command = next(step for step in one.steps if "doorbell" in step.what and step.structures)
print(command.draw())
# %%
done = next(step for step in one.steps if step.who == "device")
print(done.draw())
# %% [markdown]
# **The completion in the other ring.** Same transaction id, same 64 bytes, now with a status.
# %%
answer = next(step for step in one.steps if "completion" in step.what and step.structures)
print(answer.draw())
# %% [markdown]
# ## Explain
#
# **The guest writes, the host reads.** A request is 120 bytes of ordinary memory (`vmio/drivers/storvsc_queue.py`, method
# `submit`). The only exit on the way out is the hypercall that wakes the host's half, and it is left out when the host
# is awake: the writer looks whether the ring was empty before (`vmio/vmbus/bus/ring.py`).
#
# **The hardware belongs to the host.** `vmio/drivers/nvme.py` runs on the host's own processor, without exits, and
# serves all guests. A guest's page numbers are checked and translated before the hardware sees them
# (`vmio/vmbus/storage/srb.py`): that check is what isolation rests on.
#
# **Requests overlap.** While the host works on one, the guest prepares the next. The ring lets them run apart;
# {lesson:fill_a_ring} looks at how far.
# %% [markdown]
# ## Exercises
# %% [exercise] read-a-record
# %% [stub] read-a-record
# %%
ex = exercise("read-a-record")
ex.check(read_record)
# %% [exercise] list-the-pages
# %% [stub] list-the-pages
# %%
ex = exercise("list-the-pages")
ex.check(gpa_range)
# %% [exercise] predict-the-signals
# %% [stub] predict-the-signals
# %%
ex = exercise("predict-the-signals")
ex.check(at_most_exits)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V**: this is its VMBus, message for message; Linux's `hv_vmbus` and `hv_storvsc` speak it. The host's half is
#   `storvsp.sys`, the disk usually a file in the format VHDX
#   (virtual hard disk, version 2).
# - **KVM** (kernel-based virtual machine) with virtio has the same idea in other words: the driver is the guest's half, `vhost` or QEMU the host's, a
#   virtqueue the ring, a kick the doorbell. Linux 6.1 on QEMU makes one kick for a 4 KiB read.
# - **Xen** invented the names front-end and back-end; its rings hold fixed slots, and grants are its GPADLs.
# - **Firecracker** has virtio-block and rate limiters, and nothing older.
#
# {neighbours}
