raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Fill a real ring of VMBus (virtual machine bus, Hyper-V's bus for split drivers) byte by byte, step through the race that loses a wake-up, and find out how
# few signals a busy ring needs.
#
# **What you'll learn**
# 1. What lies in a ring: two indices, a mask, a pending send size, records; and why 8 bytes always stay free.
# 2. Who signals when, and the one order of steps that hangs a guest.
# 3. How requests in flight, batches and masks turn two signals per request into a small part of one.
#
# **What you'll need.** {lesson:emulate_a_device}, and better also
# {lesson:split_a_driver}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.fill_a_ring import panel as lesson
from vmio import packets, ringsteps
# %% [markdown]
# ## Who touches what
#
#     guest (VSC)                shared memory                 host (VSP)
#     producer ── write index ─▶ [ control page | data ] ◀── read index ── consumer
#         │     pending send size                            mask    │
#         └────────── signal: a hypercall ──────────▶ wakes it ──────┘
#
# A channel has two such rings, one each way, between the VSC (virtualization service client, the guest's half of the driver)
# and the VSP (virtualization service provider, the host's half). Each word has one owner; the other side only reads it. Memory
# costs no exit; only the signal does.
# %% [markdown]
# ## A ring, by its declaration
#
# The smallest ring: one page of control, one of data. Nothing is in it yet.
# %%
memory, writer, reader = lesson.small_ring()
print(lesson.draw_control(memory))
# %% [markdown]
# ## Predict
# %%
ask = predict("record-bytes", "A payload of 11 bytes: how many bytes of the ring does its record take?", "bytes")
ask
# %% [markdown]
# ## Run
# %%
signal = writer.send(packets.INBAND, b"hello, host", transaction_id=0x42, flags=packets.COMPLETION_REQUESTED)
print("must signal:", signal)
print(lesson.draw_record(memory, 0))
# %% [markdown]
# ## Compare
#
# 16 bytes of descriptor, the payload padded to 8, and a trailer of 8 that says where the record began. `length8` leaves
# the trailer out: leaving it out when moving on is the classical mistake.
# %%
ask.compare(writer.state()["used"])
print("a second record, must signal:", writer.send(packets.COMPLETION, b"done", transaction_id=0x41))
print(reader.receive())
print(reader.receive())
print("both read, not given back: used", writer.state()["used"])
print("producer waits for room:", reader.commit(), " used", writer.state()["used"])
# %% [markdown]
# The first record needed a signal, the second did not: the ring was not empty any more, so whoever was woken by the
# first finds the second too. That is the whole rule, and the rest of this lesson is about the word *finds*.
#
# ## Step through it
#
# Press *Step*, or *Play*. Orange W is the write index, blue R the read index; a record with a dashed edge is written but
# not published. Watch the mask, and who sleeps. Then choose other *Rules*: `no second look` is the same order of steps.
# %%
panel, lines = lesson.ring_panel(), []
for script in ("all rules kept", "ring full", "no second look", "looks, then publishes"):
    panel.set(script=script)
    lines.append(f"{script}: {panel.text}")
print("\n\n".join(lines))
# %%
panel.set(script="all rules kept")
panel
# %% [markdown]
# ## Predict again
#
# Three records, each with four steps of the producer; the consumer takes its steps in between. We let chance decide who
# moves, 1,000 times. The consumer is broken: it unmasks and sleeps without a second look.
# %%
ask = predict("lost-wakeups", "In how many of 1,000 orders does it hang?", "orders")
ask
# %%

ask.compare(ringsteps.hangs(ringsteps.SCRIPTS["no second look"]))
print()
print(lesson.hang_table())
# %% [markdown]
# A driver with that mistake passes three tests of four. Here is the order that hangs it: in step 12 the
# producer sees the mask and trusts that the consumer will look.
# %%
print(lesson.steps_table("no second look", first=5))
# %% [markdown]
# ## Explore a ring under load
#
# The guest sends 48 requests, up to *In flight* at once; the host's worker takes and answers *Batch* at a time. The guest's vCPU
# (virtual processor) and the worker share the *Host cores*.
#
# - 1, 2, 4, 8 in flight: what happens to the signals? Then take *Mask when awake* away at 8.
# - Make requests of 2,048 bytes: a ring of 8 KiB (4 of data) holds one. Then give it 64 KiB.
# - With 16 in flight, set *Pending* to 0, 1 and 4: room for how many records the guest waits for. Who wakes whom, at what cost?
# %%
panel = lesson.load_panel()
lines = [panel.text]
for move in (dict(queue_depth=8), dict(mask=False), dict(mask=True, queue_depth=16), dict(pending_records=0)):
    panel.set(**move)
    lines.append(f"{move}\n" + panel.text.split("\n\n")[0])
print("\n\n".join(lines))
# %%
panel.set(queue_depth=8, pending_records=1)
panel
# %%
print(lesson.depth_table())
# %% [markdown]
# ## The real path
#
# The same questions, asked of a whole disk: StorVSC (storage virtualization service client) in the guest, both rings, StorVSP
# (storage virtualization service provider) in the host, and an NVMe disk (non-volatile memory express). A request of 4 KiB takes
# 112 bytes of the ring, for the data lie in the guest's pages and the record only says where.
# %%
panel, lines = lesson.disk_panel(), []
for depth in (1, 8, 64):
    panel.set(queue_depth=depth)
    lines.append(panel.text)
print("\n\n".join(lines))
# %%
panel.set(queue_depth=8)
panel
# %% [markdown]
# ## A doorbell without an exit
#
# VMBus has one. The guest gives the host a *monitor page*; an offer may come with a bit of it. To signal, the guest sets
# that bit, one `LOCK BTS` in its own memory (`GuestChannel.signal` in `vmio/drivers/vmbus.py`). The host looks at the page
# now and then - here every 100 us, the latency that OpenVMM offers its network card and Linux's `hyperv.h` speaks of - takes
# what is set, and goes to the rings (`vmio/vmbus/bus/monitor.py`).
# %%
ask = predict("monitor-depth-1", "One read at a time takes 87.4 us with a hypercall. And with a look every 100 us?", "us")
ask
# %%
ask.compare(lesson.real_disk(queue_depth=1, doorbell="monitor").virtual_ns / 1000 / 64)
print()
print(lesson.doorbell_table())
# %% [markdown]
# No VMCALL (the instruction of a hypercall) is left; HLT (halt: sleep until an interrupt) is, for the guest still waits. What the
# page costs is time. A bit that is set at any time waits half a latency on average; but a guest that waits for each read falls
# into step with the looks. One look finds its bit, the read is over before the next, and the next request waits for that: one
# read per look. With 64 in flight the wait is shared.
#
# It saves most for a guest that signals too often: 64 bits set between two looks are one. A hypercall of this host is
# 0.3 us, so against a wait of up to 100 us the page pays where exits are dear, or where the host's own wake-ups are what
# hurts. Which is why, today, it is for networks if at all: OpenVMM offers it for its network card and not for disks
# (`netvsp/src/lib.rs`, `mnf_interrupt_latency`; `storvsp` has none), and it write-protects the page in place of looking,
# so that each bit is an exit after all. Linux uses it wherever it is offered, unless a channel is marked `low_latency`
# (`drivers/hv/channel.c`, `vmbus_setevent`). In the panel above, *Doorbell* changes it.
# %% [markdown]
# ## One ring for all, or one each
#
# A guest of four vCPUs has one disk. A channel has one ring each way, and it is bound to one vCPU, which takes all of its
# interrupts. So the others' answers come to that one, too; it wakes who waits, with an IPI (interprocessor interrupt):
# a WRMSR, one exit more. StorVSC may ask for *sub-channels* (CREATE_SUB_CHANNELS): the host offers the same disk again, and
# each vCPU opens rings of its own (`vmio/drivers/storvsc_channels.py`). Linux asks for one per processor.
# %%
ask = predict("one-channel-four-vcpus", "Four vCPUs make 16 reads each, through the one channel of vCPU 0. How many exits has vCPU 0?", "exits")
ask
# %%
ask.compare(lesson.many_vcpus(vcpus=4, channels="one").exits_by_vcpu["vCPU 0"])
print()
print(lesson.channels_table())
# %% [markdown]
# A shared ring needs fewer doorbells: the host is awake for one vCPU's request when the next one comes. What it saves
# there it spends on IPIs, nearly all of them sent by vCPU 0. With a ring each, no vCPU touches another's, and every vCPU
# has the two exits per read that one alone has. What this model leaves out makes the difference larger: on a real machine
# the writers of one ring take turns at its lock (`hv_ringbuffer_write` in Linux), and its indices go from cache to cache.
#
# Drag *vCPUs* with either kind of *Channels*, and watch vCPU 0. A host may allow fewer channels than there are vCPUs; then
# each vCPU without one goes by another's, chosen by its number (`get_og_chn` in Linux's `storvsc_drv.c`).
# %%
panel, lines = lesson.channels_panel(), []
for channels in ("one", "one each"):
    panel.set(channels=channels)
    lines.append(panel.text)
print("\n\n".join(lines))
# %%
panel.set(channels="one")
panel
# %% [markdown]
# ## Explain
#
# **The rule is one line**, `signal_if_it_was_empty` in `vmio/vmbus/bus/ring.py`: signal if nothing masks it and the
# consumer had read all that was there. It is enough only because of two orders. `RingWriter.publish` stores its index
# *before* it looks at mask and read index; `RingReader.unmask` clears the mask *before* it looks at the write index. So
# whichever comes second sees the other. On real processors both need a full memory barrier at that place.
#
# **Full is the same story backwards.** `RingWriter._find_room` stores what it waits for and looks again;
# `RingReader.commit` stores its index and then looks at the pending send size. It signals once, when the free room
# crosses that size. The mask does not count here: it is the consumer's, and the signal goes to the producer. And
# because equal indices mean empty, a ring is never filled to its last 8 bytes.
#
# **A busy ring is silent.** While the consumer is awake, what it will find anyway is not signalled (row 8 of the table above: one
# signal to the host for 48 requests). Beyond that, what remains is the answers' batches and, in a ring that is too
# small, signals for room.
# %% [markdown]
# ## Exercises
# %% [exercise] write-the-signal-rule
# %% [stub] write-the-signal-rule
# %%
ex = exercise("write-the-signal-rule")
ex.check(should_signal)
# %% [markdown]
# The ring with your rule, in the very order of steps in which the check failed. It opens where your rule first decides
# otherwise than the right one; *Step* leads on to where it hangs. Choose *the right rule, your order* to see what was missing.
# %%
from vmio.lessons.fill_a_ring.own_rule import own_rule_panel

own_rule_panel(should_signal)
# %% [exercise] compute-free-space
# %% [stub] compute-free-space
# %%
ex = exercise("compute-free-space")
ex.check(largest_record)
# %% [exercise] find-the-lost-wakeup
# %% [stub] find-the-lost-wakeup
# %%
ex = exercise("find-the-lost-wakeup")
ex.check(consume)
# %% [exercise] write-a-key-value-vsc
# %%
from vmio import RingFull, kv, packets
# %% [stub] write-a-key-value-vsc
# %%
ex = exercise("write-a-key-value-vsc")
ex.check(KeyValueVsc)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V**: this is its ring. Linux's side is `drivers/hv/ring_buffer.c` (`hv_signal_on_write`, `hv_pkt_iter_close`);
#   `/sys/bus/vmbus/devices/*/channels/*` shows `intr_out_empty`, `out_full_first` and the others that
#   `ChannelEnd.counters` has. Linux's documentation of VMBus warns that a host slows down guests which signal too often.
# - **virtio** (Linux's standard for split drivers): descriptors instead of a byte stream, and `EVENT_IDX` instead of a mask: each side
#   says at which index it wants to be woken.
# - **Xen**: `RING_PUSH_REQUESTS_AND_CHECK_NOTIFY` and `RING_FINAL_CHECK_FOR_RESPONSES`: the second look has a name there.
# - **NVMe** has no rule: each doorbell is a register access, unless shadow doorbells put the index in memory.
#
# {neighbours}
