raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Put virtio's ring beside the ring of VMBus (virtual machine bus) and find out what is the same and what is not. Count who has to be told how often. Then let an unmodified Linux, in
# a QEMU that knows nothing of this course, use your own rule.
#
# **What you'll learn**
# 1. What a *virtqueue* is: descriptors, a ring of those that come, a ring of those that go; and the packed form, in which they are one.
# 2. Why a request of 66 pieces can take a single place.
# 3. How each side says when it wants to be told, in two bytes.
#
# **What you'll need.** {lesson:fill_a_ring}. About {minutes} minutes. To boot a Linux by yourself, two things that are not part of this course: QEMU (Debian: `apt install qemu-system-x86`) and
# `python -m vmio linux get`. Without them you see what was recorded.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.speak_virtio import attacked
from vmio.lessons.speak_virtio import panel as lesson
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.where())
# %%
print(lesson.power_on())
# %% [markdown]
# ## One standard for everybody
#
# VMBus is Hyper-V's. *virtio* belongs to nobody: it is an open standard, and KVM (kernel-based virtual machine), Xen, Firecracker and many clouds speak it. It says how a driver finds a device, how they agree on *features* (one bit each),
# and above all what lies in the memory between them.
#
#     driver (guest)                    shared memory                        device (host)
#     descriptors: where, how long ──▶ [ table of descriptors ] ◀── looks ──
#     "descriptor 5 begins a chain" ─▶ [ available ring ]       ◀── looks ──
#                           ── looks ─▶ [ used ring ]            ◀── "5 is done, 513 bytes written"
#         └─────────── kick: a store that exits ──────────▶ wakes it
#
# | | VMBus | virtio |
# |---|---|---|
# | in the ring | whole messages, byte after byte | places of fixed size |
# | data | page numbers in the message | a *chain* of descriptors: address, length, who writes |
# | answers | a second ring the other way | the used ring, by the number of the chain; in any order |
# | full | when bytes run out | when descriptors run out |
# | don't wake me | a mask | a flag, or the *event index* |
# | wakes the host | a hypercall | a store to a register of the device, the *kick* |
# | wakes the guest | a flag and an interrupt (SynIC, the synthetic interrupt controller) | an interrupt by message (MSI-X) |
#
# What is the same matters more. Both sides write only words of their own and read the other's. Memory costs no exit; being told does. And who is awake says so, and looks once more before it sleeps.
#
# Here is a queue with one request of a disk in it: a header of 16 bytes that the device reads, 512 bytes that it writes, and one byte for the status.
# %%
print(lesson.one_request("split").draw())
# %% [markdown]
# Flag 1 means that the chain goes on in descriptor `next`, flag 2 that the device writes. The driver's index `idx` counts chains, and never goes back; modulo the size of the ring it is a place.
#
# ## Predict
#
# Linux reads 64 KiB with one request. Its buffer is scattered over 16 pages, so the data are 16 pieces, and header and status come on top. The ring has 128 descriptors.
# %%
fits = predict("requests-that-fit", "How many such requests are in the ring at once?", "requests")
fits
# %% [markdown]
# Now the second question. The guest makes 48 requests and keeps 16 in flight; the device takes and answers four at a time. With *event index*, the device writes into memory at which of the driver's requests it wants
# to be kicked.
# %%
told = predict("kicks-with-events", "How often does the guest kick?", "kicks")
told
# %% [markdown]
# ## Run
# %%
fits.compare(lesson.requests_that_fit())
told.compare(lesson.kicks())
print()
print(lesson.pieces_table())
# %% [markdown]
# *With a table*: the driver may put the chain into memory of its own, an *indirect table*, and only one descriptor of the ring points there (flag 4). Then 128 requests fit, however many pieces they have. The price is one
# more look at memory, and memory for the tables.
#
# ## Compare: who is told how often
#
# *Flags*: each side has one bit that says "don't tell me". *Events*: each side says "tell me when you pass this place". VMBus has a mask, which is a flag, and tells only whoever may be asleep.
# %%
print(lesson.telling_table())
# %% [markdown]
# With four in flight, flags cost four times as many kicks as events: the device is done with looking and has asked for kicks, so each of the guest's requests kicks it anew until it wakes and says stop. An event index is passed once.
# A kick that the device would find needless is not made, even while the device is still on its way.
#
# ## Packed: one ring
#
# A device that is hardware fetches everything over a bus. A descriptor in one place, its number in another, the answer in a third: that is three trips. The *packed* ring has only descriptors. The driver writes one, the
# device overwrites it with its answer. Two bits of each say whose it is, and both change their meaning with each turn of the ring (the *wrap counter*). Here is the same request; the flags of a descriptor that the device may
# have are 80h in the first turn.
# %%
print(lesson.one_request("packed").draw())
# %%
print(lesson.looks_table())
# %% [markdown]
# The driver looks once less for each request at a packed ring. Our device looks more often, for it reads the flags of each descriptor by themselves; from a split ring it takes the numbers of many chains at once. Between two
# programs the form hardly matters, and without indirect tables nothing does beside the number of pieces.
#
# ## Explore
#
# - *In flight* 1, 4, 16, 64 with and without *Event index*: which row changes?
# - *Indirect* off, *Pieces* 16, *Entries* 32: how many requests are in flight now, and what does a request cost?
# - Which control changes nothing but the looks at memory?
# %%
panel = lesson.panel()
lines = [panel.text]
for move in (dict(event_idx=False), dict(indirect=False, pieces=16)):
    panel.set(**move)
    lines.append(f"{move}\n{panel.text}")
print("\n\n".join(lines))
# %%
panel.set(event_idx=True, indirect=True, pieces=1)
panel
# %% [markdown]
# ## A real Linux on your queue
#
# QEMU can leave a disk to another program: *vhost-user*. It sends messages over a Unix socket, and with them file descriptors: one for the guest's whole memory, one by which the guest kicks, one by which it is called. Then
# QEMU is out of the way. The program reads and writes the virtqueue itself. This course has such a program, `python -m vmio vhost-user` (`vmio/oracle/vhost_user/`), so Linux's own driver talks to the very classes that you have seen above.
#
# Before we had it, such conversations were recorded with a small program of its own. Linux read and wrote 64 MiB; the first 40 of its requests go through our queues again just now:
# %%
print(lesson.recorded_table())
# %% [markdown]
# *Kicks* and *calls* (interrupts) depend on who was awake when, so another day has other numbers. But the direction is sure: with an event index both are fewer. *Descriptors* are those of the 40 requests: without tables they take
# more than nine times as many places.
#
# And here is the Linux that has booted in the background, where it could. It has read 1 MiB of each of seven disks.
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.linux_table())
# %% [markdown]
# With an event index, Linux counts exactly as many interrupts as our queues have sent. Without, it may count fewer: two calls that come close together are one interrupt.
#
# ## Explain
#
# **A queue of places, not of bytes.** A message that is too long doesn't exist in virtio; a chain has as many places as it needs. That is why the device may answer in any order: an answer names its chain.
#
# **One rule for both directions.** The index went from *old* to *new*; the other side has written *event*. Tell it if the step from event to event + 1 was among those just taken. Indices have 16 bits and wrap, so the rule
# must be right across 65,535 too. `need_event` in `vmio/virtio/queue/event.py` is the rule, in one line.
#
# **Nothing from the other side is believed.** A descriptor may lie in a loop, point outside, or change while it is looked at. So the device copies each descriptor once, checks the copy, and uses nothing else (`vmio/virtio/queue/`). A
# chain that no honest driver makes breaks the queue, not the host.
#
# Here a hostile driver tries some of it at a disk, with a split and with a packed ring, beside an honest guest. REJECT: the device has refused, mostly by setting its status bit *needs reset*; nothing of
# anybody else's has changed or leaked, the honest guest is served, and after a reset the hostile one is, too. PASS: there was nothing to refuse. The last column is what comes of a device that trusts its driver there; a loop that would not end is stopped
# after some steps, and counted.
# %%
print(attacked.attacks_table())
# %% [markdown]
# A packed ring has no index that could jump: what is available stands in each descriptor. `python -m vmio attack --mode virtio` runs all of them.
# %% [markdown]
# ## Exercises
# %% [exercise] write-the-event-rule
# %% [stub] write-the-event-rule
# %%
ex = exercise("write-the-event-rule")
ex.check(need_event)
# %% [markdown]
# With your rule, a real Linux (or the recorded one, where none can be booted):
# %%
print(lesson.linux_uses(need_event))
# %% [exercise] follow-an-indirect-chain
# %% [stub] follow-an-indirect-chain
# %%
ex = exercise("follow-an-indirect-chain")
ex.check(follow)
# %% [exercise] mend-a-packed-driver
# %% [stub] mend-a-packed-driver
# %%
ex = exercise("mend-a-packed-driver")
ex.check(lend)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Your own disk for any QEMU.** `python -m vmio vhost-user --socket disk.sock --image disk.img`, then QEMU with `-object memory-backend-memfd,id=mem,size=256M,share=on -machine pc,memory-backend=mem -chardev
#   socket,id=c,path=disk.sock -device vhost-user-blk-pci,chardev=c`. `packed=on`, `event_idx=off` and `indirect_desc=off` are properties of the device.
# - **SPDK** (storage performance development kit) and **DPDK** (data plane development kit) are such programs, for disks and for networks; they poll and are hardly ever kicked.
# - **Linux** has a device's half in the kernel as well, *vhost*, and the driver's half in `drivers/virtio/virtio_ring.c`. It asks for indirect tables whenever a request has more than one piece.
# - **Hardware** speaks virtio, too: a card whose virtual functions have virtqueues is a passed-through device with a standard driver.
#
# {neighbours}
