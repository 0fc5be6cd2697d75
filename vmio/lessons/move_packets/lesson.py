raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Give a guest a network card: one of 1996 in software, one that is split between guest and host, and a piece of a real one. Count what
# one ping costs, send a recorded download through each, and then watch the switch that all guests of a host are plugged into.
#
# **What you'll learn**
# 1. Why an emulated network card works with every operating system, and why nobody wants to keep it.
# 2. What decides how many exits a packet costs.
# 3. Who sees which frame on the host's virtual switch, and what keeps one guest from taking another's frames.
#
# **What you'll need.** {lesson:pass_a_device_through}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.move_packets import panel as lesson
# %% [markdown]
# ## Three cards
#
#     emulated      the old driver ── OUT to a register ─ exit ──> DEC 21140A in software ──> virtual switch
#     split         NetVSC ────────── a ring, VMCALL ──── exit ──> NetVSP ────────────────> virtual switch
#     passthrough   the new driver ── a store, no exit ──────────> a function of the card ──> the card's own switch
#
# A network packet is called a *frame* on its wire: the receiver's address, the sender's address, a type, and up to 1,500 bytes. The addresses
# are six bytes each and belong to the card; they are called MAC addresses (medium access control).
#
# **Emulated.** Hyper-V calls it the legacy network adapter. It is a DEC 21140A, a chip of the 1990s that everybody calls the *Tulip*. The driver
# puts a *descriptor* into memory for each frame - where it is, how long it is, who owns it now - and writes to a register of the card, so that
# it looks. The chip's registers are CSRs (control and status registers), with the numbers 0 to 15.
#
# **Split.** *NetVSC*, the network virtualization service client, is the half that runs in the guest. *NetVSP*, the network virtualization
# service provider, runs in the host. Between them are the two rings of {lesson:split_a_driver}.
#
# **Passthrough.** The host's card, an Intel 82576, has SR-IOV (single-root I/O virtualization): it shows itself as several. The guest gets one VF (virtual
# function) with registers, rings and interrupts of its own, as it got a disk in {lesson:pass_a_device_through}.
# %% [markdown]
# ## Predict
#
# A *ping* is one small frame out and one back: are you there? - I am.
# %%
ask = predict("one-ping", "The Tulip's driver sends a ping and takes the answer: how many accesses of the card's registers?", "accesses")
ask
# %%
before = predict("before-the-first-packet", "And before that: how many exits until the Tulip is ready for its first packet?", "exits")
before
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.accesses())
print()
print(lesson.registers_table())
# %% [markdown]
# The first line is all that sending takes: *look at your list* (CSR1). The other nine are the answer's. An interrupt comes; the driver reads why
# (CSR5), turns off further interrupts for frames (CSR7), says that it has understood (CSR5), looks whether something else has happened
# (CSR5), and how many frames were lost (CSR8). It then takes the frame out of memory, and looks again before it turns interrupts on.
# An unmodified Linux makes the same ten accesses for a ping: you can count them with `python -m vmio boot --net emulated`.
# %%
before.compare(lesson.ping().setup_exits)
print()
print(lesson.setup_table())
# %% [markdown]
# Nearly all of it is wires moved one bit at a time. The card's address is in a ROM (read-only memory) with a serial line: to read 16 bits, the
# driver sets a clock pin and a data pin by hand, 140 accesses a word, 8,970 for the whole ROM. The chip that drives the cable, the *PHY* (physical layer), hangs on
# two more pins: 291 accesses for one of its registers, and the driver asks for it at 32 addresses and waits until it is reset. Who counts with the ROM alone gets some 9,000; with the
# PHY it is nearly three times as much, and an unmodified Linux, too, makes some 25,500 accesses before its first packet. Real pins don't mind. An emulated pin is an exit, and it is why a machine that
# boots over an emulated network takes its time.
# %% [markdown]
# ## Compare: one ping, one download
# %%
print(lesson.ping_table())
# %% [markdown]
# The split card has no registers. Its two VMCALLs are signals: one says that there is a frame in the ring, the other that the guest is
# done with the memory in which the answer came. Both are needed only because the host had gone to sleep in between.
#
# The VF is touched all the time, too, but its registers are mapped into the guest, and no touch exits. The one exit that is left is the
# interrupt, which stops the guest so that the host can hand it over.
#
# Now 224 frames that a Linux guest sent and received: pings, and a download of 256,000 bytes. *sha256* is a checksum over all frames as they were
# received, in their order. If it is the same in each mode, the same packets were moved.
# %%
print(lesson.modes_table())
# %% [markdown]
# ## Explore: the same frames, another card
#
# *upload* is the same conversation from the other side: now the guest is the server, and sends most of the frames.
# %%
panel = lesson.panel()
for settings in (dict(), dict(mode="split"), dict(mode="passthrough"), dict(delivery="posted"),
                 dict(traffic="upload"), dict(mode="split"), dict(mode="emulated")):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(mode="emulated", traffic="download", delivery="injected")
panel
# %% [markdown]
# The upload costs a third of the download's exits per frame, or less. Why? A frame that comes in *interrupts*, and the driver asks the card why. For frames
# that go out in a row the driver needs to hear of the last one only.
#
# ## How many at once?
#
# The next panel sends 32 frames in bursts, and lets everything fall asleep between them. *Frames in a record* is what NetVSC may pack into one
# record of the ring.
# %%
panel = lesson.bursts_panel()
for settings in (dict(), dict(burst=8), dict(burst=32), dict(batch=1)):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(burst=1, batch=8)
panel
# %% [markdown]
# Drag *Frames in a burst* to the right. The Tulip comes down to less than two exits per frame and stays there, for each frame still has its own write to CSR1. The other
# two go on falling. The VF's driver writes a register for each frame as well, but that is no exit. On the split card a signal is needed when the host may sleep, and during a burst it doesn't. Then drag *Frames in a record*. The second
# figure moves, the first hardly does. Fewer records are less for the host to read; the exits were gone already.
#
# ## Fewer interrupts, longer waits
#
# Frames that come in are the guest's dear ones: each may interrupt it. So let the card wait a moment - perhaps another frame follows - and interrupt once for all of them. This is
# *interrupt moderation*. The Tulip's successor, the 21143, can do it: CSR11 holds a time and a number of frames, whichever is reached first.
# %%
print(lesson.held_table())
# %% [markdown]
# Nothing changes in the number of interrupts until the time is longer than it takes the next frame to arrive, 123 microseconds for a long one at 100 megabits a second: until then the card waits
# in vain, and all you get is a longer wait. (The card counts such times in steps of 82 microseconds.) From then on there are few interrupts, and a frame may wait long for them. (In this card each frame begins
# the time anew, so a stream without a gap would wait for ever: that is what the number of frames is for.)
# %%
panel = lesson.moderation_panel()
for settings in (dict(), dict(hold_frames=4), dict(hold_us=0)):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(hold_us=160, hold_frames=0)
panel
# %% [markdown]
# Try to halve the interrupts while 99 of 100 frames wait less than 350 microseconds: move *Hold, us* and *Hold, frames*. *adaptive* is Linux's own way (DIM, dynamic interrupt moderation): the driver measures how many
# frames and interrupts come, tries a longer time, and goes back if that was no gain. In a download as short as this one it hardly gets going.
#
# ## Who sees which frame?
#
# Behind all these cards is the host's *virtual switch*: a port for each guest, and one to the outside through the host's real card. For each frame
# that comes in it decides which ports are given it. A frame for everybody goes to all ports, a frame for one station to that station's
# port. The switch knows its guests' addresses, and *learns* others: if a frame comes in at a port, its sender must be there.
#
# Three guests, A, B and C, and a router outside. Step through nine frames with *Frames sent*.
# %%
panel = lesson.switch_panel()
for steps in (1, 2, 4, 7, 8, 9):
    panel.set(steps=steps)
    print(panel.live.end)
for settings in (dict(), dict(any_address=True), dict(any_address=False, own_vlan=True, mirror=True)):
    panel.set(**settings)
    print("\n" + panel.text)
# %%
panel.set(steps=1, own_vlan=False, mirror=False)
panel
# %% [markdown]
# 1. At frame 2 the switch learns where the router is. What A and B say to each other (frames 4 and 5) C never sees, and neither does the world outside.
# 2. Frame 8 is an attack: A sends with the router's address as its source. The port drops it, for A's address is another one.
# 3. Tick *A may use any address* and step to frame 9. Now the switch has learned that "the router is at A", and B's frame for the router goes to A. That is
#    why the check is on unless somebody turns it off, for a guest that is a router itself.
# 4. *C is in a VLAN of its own* (virtual local area network): the switch then treats C as if it were plugged into another switch. Frames for everybody no longer reach it.
# 5. *C is A's mirror*: C is given a copy of all that A sends and gets. It is how one watches a network, so only the host's administrator may set it.
# %% [markdown]
# ## The VF that comes and goes
#
# A guest with a VF can't be moved to another host, for that host's card is another one. So a VF is never given alone: the guest keeps its split card, with
# the same address, and its driver sends by the VF while there is one. Here a guest sends a frame every 200 microseconds. After 10 milliseconds the host gives it a VF, after 40 it asks
# for it back.
# %%
print(lesson.handover_table())
# %% [markdown]
# No frame is lost on either change. The MOVs in the second line are the VF's configuration space, which the host watches; once it is set up, the VMCALLs are gone. (One HLT (halt)
# a frame is the guest's pause.) The program that sent the frames saw one card all the time (`vmio/drivers/accelerated.py`).
#
# ## Explain
#
# **An exit buys attention.** What a frame costs is decided by how often somebody must be told, not by how long the frame is. The Tulip's driver tells
# the card of each frame, because on a real bus a write costs next to nothing (`vmio/drivers/tulip.py`, method `send`). NetVSC asks first whether the
# host is awake (`vmio/drivers/netvsc_queue.py`).
#
# **The switch is the wall.** Between guests on one host no cable protects anybody. What a guest sends passes its port first (`vmio/host/net/port.py`, method `send`):
# link, VLAN, source address, guards, access list, bandwidth; only then does the switch look for whom it is (`vmio/host/net/switch.py`).
#
# %% [markdown]
# ## Exercises
# %% [exercise] finish-the-transmit-path
# %% [stub] finish-the-transmit-path
# %%
ex = exercise("finish-the-transmit-path")
ex.check(transmit)
# %% [exercise] choose-a-moderation
# %% [stub] choose-a-moderation
# %%
ex = exercise("choose-a-moderation")
ex.check(choose)
# %% [exercise] write-the-spoofing-check
# %% [stub] write-the-spoofing-check
# %%
ex = exercise("write-the-spoofing-check")
ex.check(may_send)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V**: the legacy network adapter is what a generation 1 machine boots from over the network; after that the guest should have the
#   synthetic one. Azure's *accelerated networking* is the VF that
#   comes and goes: when the machine moves to another host, or the host's card gets new firmware, the synthetic card carries on alone.
# - **KVM** (kernel-based virtual machine): *virtio-net* is a split driver with rings of another form. Its host half may be in QEMU or, as *vhost*, in the host's
#   kernel, which saves the way to user space for each signal.
# - **Xen**: `netfront` and `netback` were there first; the names say what they are.
# - Everywhere: the emulated card is kept for what must boot anywhere, and replaced as soon as a driver for the other is loaded.
#
# What becomes of the guests that have no other driver when a host gives up the emulated card is a lab: {lesson:test_the_mix}.
#
# {neighbours}
