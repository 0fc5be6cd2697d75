raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Let a guest write a letter to its disk, then look for the letter as the host's administrator would: on the disk, in the device's hands, in the rings, in RAM (random-access memory). Encrypt the disk, in the host and in the guest, and look again. Then
# take the guest's memory out of the host's sight, send the letter over a network, through a socket, and into a device of the guest's own, and look again with four viewers. At last change bytes and see who notices.
#
# **What you'll learn**
# 1. Which places see a guest's data in which mode.
# 2. Why it matters *who* encrypts, and what encryption of a disk can't hide.
# 3. Why memory, disk and wire each need a protection of their own.
# 4. That a secret and an unchanged text are two different promises.
#
# **What you'll need.** {lesson:pass_a_device_through}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.keep_secrets import panel as lesson
# %% [markdown]
# ## Who looks over your shoulder
#
#     guest's RAM          the letter, 128 lines
#        │ rings           (split mode) which pages, which sectors
#     device's hands       the host's device model or driver, or the hardware
#        │
#     disk                 what stays when the machine is off
#
# Everything so far protected the host from its guests, and guests from each other. This lesson turns round. Whoever runs the host can read all memory of the computer and every byte of its disks. Sometimes
# that is not wanted: a cloud's customer need not trust the cloud's staff, and a stolen disk shouldn't say anything.
#
# The guest here writes a letter of 128 lines. Every line holds the same sentence, *the host must never see this*. Then the guest reads the letter back into another buffer. All places that the host can look at
# without the guest's help are kept, and the sentence is counted in them.
# %% [markdown]
# ## Predict
#
# First nobody encrypts, and the disk is split: requests go through two rings in memory that guest and host share.
# %%
rings = predict("letter-in-the-rings", "How many lines of the letter does the host find in the rings?", "lines")
rings
# %% [markdown]
# Now the guest encrypts every sector before it goes out, and decrypts what comes back. The key is in the guest.
# %%
ram = predict("letter-in-ram", "How many lines of the letter does the host find in the guest's RAM?", "lines")
ram
# %% [markdown]
# ## Run
# %%
rings.compare(lesson.in_the_rings())
ram.compare(lesson.in_ram())
# %% [markdown]
# None in the rings: a request names pages and sectors, and the data stay where they are until the disk fetches them. In RAM there are both buffers, the letter and its copy. Encrypting a disk changes nothing about RAM.
# %% [markdown]
# ## Compare
#
# All modes, and all who can encrypt. *The device* is whoever carries out the requests: the host's device model, the host's driver, or, with passthrough, the hardware itself. It sees the letter twice, on its way out and on its way back.
# %%
print(lesson.places_table())
# %% [markdown]
# - **The host encrypts** below the guest's disk. Windows' BitLocker does it like this on a host's own disks. Then a stolen disk says nothing, and the guest notices nothing. But the host itself has seen every line.
# - **The guest encrypts.** Then the letter passes through every hand as noise. No exit is added. What it costs is the guest's own processor time, at 16 gigabytes a second: a published figure for one core of a server of 2025 (E. Biggers,
#   a patch to Linux). Python's own time for it is no part of the model.
# - **Passthrough.** The host can't encrypt here: it has no hand in a request. The guest can, as always.
#
# What the host's administrator sees of the letter's beginning, in clear and encrypted:
# %%
print(lesson.looks("nobody"))
print()
print(lesson.looks("guest"))
# %% [markdown]
# ## Explore
#
# Is there a setting with which the host finds no line anywhere? And what tells noise from text if you can't read either? *Entropy* says how surprising a byte is, in bits: 0 if all bytes are the same, 8 if all 256 values are equally frequent.
# %%
panel = lesson.panel()
print(panel.text)
panel.set(encrypt="guest", keep=False)
print("\n" + panel.text)
# %%
panel.set(encrypt="nobody", keep=True)
panel
# %% [markdown]
# The letter in RAM, kept and overwritten after use:
# %%
print(lesson.forgotten_table())
# %% [markdown]
# ## Explain
#
# **How a disk is encrypted.** AES (advanced encryption standard) turns 16 bytes into 16 others, by a key. A disk has many equal blocks, and equal blocks must not look equal. So each sector's number goes in as well: AES-XTS (XTS is a way to
# use AES for disks, standard IEEE 1619). The result is as long as before, so no sector has to move. An unmodified Linux does this with *dm-crypt*; on our disk on VMBus (virtual machine bus) it writes exactly the bytes that this lesson's guest writes
# (`tests/linux/test_linux_crypt.py`).
#
# **What it doesn't hide.** When you write which sector, and how often. A sector that is written again with the same bytes has the same ciphertext. And RAM: while the guest works with the letter, it lies there in clear. To hide it there,
# the memory itself must be encrypted by the processor, with a key that the host doesn't have.
# %% [markdown]
# ## A guest whose memory is its own
#
# Guests of this kind exist: *confidential guests* (AMD's SEV-SNP, Intel's TDX). What the host reads in their RAM is noise, and what it writes there is refused. Our machine models one. But a device must have something to read. So the guest *shares* some
# pages, by a hypercall, and copies its data there and back: *bounce buffers*, slots of 2,048 bytes in one pool.
# On Hyper-V one bit of an address may say which of the two a guest means (a *boundary*, vTOM): the page at address *a* is private there, and shared at *a* plus the boundary. So a host can't pass one off as the other (`vmio/hypervisor/isolation/boundary.py`).
#
#     guest's RAM, private      the letter
#        │ copied by the guest
#     bounce buffers, shared    the letter again
#        │ read by the host's driver, or by a device
#     disk, wire, device
#
# Nobody encrypts the disk this time, and memory is isolated.
# %%
pool = predict("letter-in-the-pool", "The letter has 64 lines. How many of them does the host find in the bounce buffers?", "lines")
pool
# %%
pool.compare(lesson.in_the_pool())
# %% [markdown]
# Encrypting memory protects nothing that leaves it. Each way out needs a protection of its own:
#
# | route | its own protection | what that is |
# |---|---|---|
# | disk | AES-XTS | the cipher from above, in the guest |
# | net | TLS records | TLS (transport layer security) is what a browser's `https` uses |
# | socket | TLS records | the same in a stream of bytes from the guest to a program of the host's, which hands them on (*hvsocket*) |
# | device | TDISP | the guest binds a device that it was given to itself (TEE device interface security protocol; a TEE is a trusted execution environment) |
#
# One letter by each route, with memory isolated or not, and the route protected or not. The numbers are lines that the host finds, where it looks. *DMA log*: what devices have fetched, read by the host at the same address (DMA is direct memory access).
# %%
print(lesson.views_table())
# %% [markdown]
# - Only both protections together leave the host nothing, on every route. With one of them there is always a place where the letter lies in clear.
# - A socket's bytes lie in the rings themselves, for want of any other place. Rings are always shared, so here isolated memory hides nothing but the guest's own copy.
# - In a device that is bound by TDISP there is no bouncing. It may reach private pages by itself, so the host's log has an address and noise.
# - A plain device that was passed through can't reach private pages, so its data bounces like any other's.
#
# Look for yourself. *Entropy* tells noise from text:
# %%
viewers = lesson.views_panel()
viewers
# %% [markdown]
# **On the wire.** A TLS record has a header of 5 bytes, the ciphertext, and a tag of 16 bytes, which shows that nothing was changed: encryption and tag in one, AES-GCM (Galois/counter mode). A record is 22 bytes more than what it carries. Sender and receiver count the records, and the
# count goes into the *nonce*, a number that makes each encryption another one. So a record that comes twice or too early doesn't open. AES-GCM costs the guest its own time, at 25 gigabytes a second: a published figure for one core of a desktop of 2025 (E. Biggers). The secrets that
# both sides begin with are agreed on before, in a *handshake* that our guest leaves out.
#
# **A device of one's own.** TDISP has four states. The guest lets the device *lock* its configuration, reads a *report* of it, and *starts* it with a number that only this lock has given out (again a nonce). From then on the device moves private data. If the host changes the device now, moves one of
# its windows for instance, the device goes to the state *error* at once and moves no more. `vmio/hardware/tdisp/interface.py` is the device's side.
#
# **A key that is destroyed.** A disk can carry its own key, locked by a passphrase. The format is public: LUKS (Linux unified key setup), and QEMU opens what we write. The key is spread over 4,000 pieces, all of which are needed. Here is such a disk with two passphrases, of which the
# key's pieces are then overwritten:
# %%
overwritten, before, after, changed = lesson.destroyed()
print(f"before: opens {before}. {overwritten:,} bytes of the header overwritten.")
print(f"after: opens {after}. A sector of the disk itself has changed: {changed}.")
# %% [markdown]
# ## Secret is not unchanged
#
# The guest's letter says whom to pay. The host can't read it, but it can write to the disk. Seven things to try, on four kinds of disk:
# %%
print(lesson.tampering_table())
# %% [markdown]
# - *Unnoticed*: the guest reads a text that it didn't write last, and believes it. *Garbled*: it reads noise, and may or may not see that. *Noticed*: it gets an error instead of a text.
# - AES-XTS has no way to notice anything. A flipped bit turns the 16 bytes around it into noise:
# %%
in_clear, encrypted = lesson.flipped()
print(f"one bit flipped: {in_clear} byte is wrong in clear, {encrypted} bytes under AES-XTS")
# %% [markdown]
# - A *tag* is a short text that only who has the key can make for this sector at this place, here by HMAC (hash-based message authentication code). It costs room on the disk, and a second write. Tags alone hide nothing: the letter can be read.
# - The last row but one goes through everywhere. Old sectors with their old tags are good sectors. To notice, the guest must remember something that is not on this disk.
# - *Answer a read twice*: the second answer is taken for the answer to the next read, whose data isn't there yet. So the guest finds what it had read before.
#
# And on the way: three letters over a network, in clear or in TLS records; and one in a device, plain or bound by TDISP, in whose place the host lets another device answer.
# %%
print(lesson.way_table())
# %% [markdown]
# The last letter of all is missed by nobody: records say what comes next, not that something comes. So who uses TLS says at the end that it was the end.
#
# All of these are switches of their own: a disk may be encrypted, or have tags, or both; the wire may be sealed, the device bound. Which single switch makes the most of the host's changes noticed, and which makes none?
# %%
changes = lesson.changes_panel()
changes
# %% [markdown]
# Encryption alone makes nothing noticed: it turns five of seven changes into noise, and lets two pass. Tags alone make six of seven noticed, on a disk that everybody can read. With a real disk you get both from Linux's dm-crypt over dm-integrity, where the tag lies beside each sector, too.
#
# A host can also lie to the guest's drivers: lengths that can't be, answers to nothing, frames that point outside. A *hardened* driver, as a confidential guest has it, checks each of them; a trusting one doesn't. What comes of it (REJECT: noticed and refused; PASS: nothing to notice, and nothing to be had;
# FAIL: something leaked or changed; WEDGED: the guest no longer gets on; `-`: no such driver can be shown):
# %%
print(lesson.hostile_table())
# %% [markdown]
# The last five rows are about what a guest *leaves behind*: in bounce buffers that are free again, on its disk, in a page that it shares, in memory that nobody scrubs, in a device that it gives back. Nobody wipes a bounce buffer. What helps is that only ciphertext ever lay there.
# (What the next *guest* finds of the last one is tried in {lesson:break_isolation}.)
#
# **What Python can't show.** All of this is measured in a model: which bytes lie where, and which change is noticed. It can't show how long a real processor takes, nor what the host learns from the times and the order of accesses (*side channels*). Nor can it show that a chip is what it says: real
# devices prove that with certificates, over an encrypted link, and both are left out. And whoever can read this notebook's own memory sees all keys.
# %% [markdown]
# ## Exercises
# %% [exercise] number-a-unit
# %% [stub] number-a-unit
# %%
ex = exercise("number-a-unit")
ex.check(tweak)
# %% [exercise] know-your-own-sector
# %% [stub] know-your-own-sector
# %%
ex = exercise("know-your-own-sector")
ex.check(Tags)
# %% [exercise] read-it-once
# %% [stub] read-it-once
# %%
ex = exercise("read-it-once")
ex.check(take)
# %% [exercise] find-the-leak
# %% [stub] find-the-leak
# %%
ex = exercise("find-the-leak")
ex.check(Slot)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **BitLocker and dm-crypt** in a guest keep its disk secret from whoever copies it. Where does the key come from when the guest starts? If the host hands it over, the host has it. So the key is *sealed*: a chip, or its virtual twin, gives it
#   out only if the guest has started the programs it should have.
# - **A destroyed key is a destroyed disk.** Clouds erase disks like this: overwriting 32 bytes takes no time, overwriting a terabyte takes hours.
# - **Tags** beside encryption: Linux has *dm-integrity* for it. Containers in confidential guests use both.
# - **Confidential guests** can be had in large clouds. Linux takes only a few devices there, those whose drivers were checked against a hostile host (`vmio/drivers/confidential/offers.py`). Devices with TDISP are just coming.
# - `vmio/drivers/crypt.py` is the guest's half, `vmio/machine/media/encrypted.py` the disk, and `vmio/machine/aes.py` the cipher in a hundred lines.
# - *A question without an answer in the text:* the host keeps a copy of your encrypted disk of every day for a year. What can it find out about your working hours?
#
# {neighbours}
