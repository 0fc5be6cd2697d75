raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Attack the machine of the last lessons from inside a guest: its memory, rings, DMA (direct memory access) and interrupts. Each
# attack runs with its defence on, with it off, and in a machine that has no IOMMU (input-output memory management unit) at all.
#
# **What you'll learn**
# 1. Where a hostile guest meets its host: every byte that it may write and the host reads.
# 2. What each check in the host is for: what happens to whom without it.
# 3. Four verdicts, and why "refused" is the best of them.
#
# **What you'll need.** {lesson:split_a_driver}, {lesson:fill_a_ring} and
# {lesson:pass_a_device_through}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.break_isolation import panel as lesson
from vmio.lessons.break_isolation import tables
# %% [markdown]
# ## Who touches what
#
# A guest has a few doors to the world: its accesses to memory, registers of devices, rings that it shares with the host, messages,
# and, if it was given a real device, that device's DMA and interrupts. Behind each door stands a wall: a page table, a check, a
# quota. Behind the wall are others: a neighbour, the host, and the guest that gets this guest's memory when it is gone.
#
# In each run an honest neighbour does its own I/O. What happens to the others is *measured*. A *canary* is a pattern of bytes that
# nobody has a reason to change or to own: there is one in the neighbour's RAM (random-access memory), on its disk, in the
# unused part of its rings, in the host's pages and in the IOMMU's tables. Device registers and interrupts are compared with what they
# were, and the neighbour's requests are counted and timed. In some runs the guests have network cards. There the neighbour's I/O goes
# to a server in *frames*, the packets that a network card sends: each names the address it is for and the address it comes from.
# Their contents are a canary, too.
#
# That gives the verdict: **PASS** (no effect), **REJECT** (no effect, and somebody said no: a
# status, a fault, a closed channel), **FAIL** (something leaked or was changed), **WEDGED** (the host or the neighbour stopped, or
# hardly gets on).
# %% [markdown]
# ## Predict
#
# Take a machine without an IOMMU. Everything else stays as it is: page tables, ring checks, quotas, the disk's own limits. A
# guest that has virtual functions for itself (of the host's disk, its network card and its *matrix engine*, a device that multiplies
# matrices, as neural networks need it) now tries all attacks of mode passthrough.
# %%
ids = tables.ids("passthrough")
print(*ids, sep="\n")
ask = predict("attacks-without-iommu", f"How many of these {len(ids)} do damage if only the IOMMU is missing?", "attacks")
ask
# %% [markdown]
# ## Run
# %%
ask.compare(len(tables.harmful("passthrough", "the IOMMU")))
print()
print(tables.without_iommu_table())
# %% [markdown]
# ## Compare
#
# Fewer than half. The IOMMU is the wall for what a device *sends*: addresses and interrupts. It knows nothing about how often a
# device asks, whose registers a guest may touch, what lies on a disk that changes hands, in whose name a frame is sent, or whether
# a list of descriptors ends.
# For each of these there is another wall, and a machine needs all of them.
#
# Three of the four forged interrupts reach nobody here: they name an entry of a remapping table, and there is no table. The fourth
# is written in the old format, which names the vector itself, and reaches the host.
#
# Here is the whole map. Each number says how many attacks reach something, of how many that aim at it. An attack aims at what it
# reaches when its own defence is switched off, so these numbers are measured, too. A dot: nobody aims there.
# %%
print(tables.reach_table())
# %% [markdown]
# With all walls up nothing is reached, in any mode. And no wall is superfluous: switch off the one that an attack is aimed at, and
# every attack of the catalogue does damage.
#
# The same map, drawn: each sign is one attack. A ring was held off, a cross came there. Switch off the IOMMU: in which column, and
# in which rows, do crosses appear? Then switch off each attack's own defence. *Look at* lists the attacks of one row, mode by mode,
# and how they got there.
# %%
lesson.reach_panel()
# %% [markdown]
# A flood needs no bug: each of its requests is correct. It takes time, and what is shared is shared in time, too. How many
# times as long do the neighbour's requests take beside it? (One flood costs memory instead: the host keeps each message.)
# %%
print(tables.floods_table())
# %% [markdown]
# ## Explore
#
# The arrow is the attack; its own lines stand beside what was measured. Below the wall stands the function of the host that keeps
# the attack out, and its file. A plate with a cross is something that a canary or a probe found harmed. A dashed arrow behind the
# wall shows where the attack would get to.
#
# 1. Take `dma-into-neighbour` and switch off its defence, then the IOMMU. Do the same with `ata-prd-into-neighbour`: it aims at the
#    same RAM, but another wall is in its way. Open the file that stands below that wall. Which line of the function says no?
# 2. Take `handover-disk`. The wall is not a check of an address. What is it?
# 3. Find an attack that harms the neighbour without touching any of its bytes.
# %%
panel = lesson.panel()
print(panel.text)
panel.set(id="dma-stale-mapping", without="its defence")
print("\n" + panel.text)
print("\nthe map in words:", panel.live.text)
# %%
panel.set(id="dma-into-neighbour", without="nothing")
panel
# %% [markdown]
# ## One attack, step by step
#
# The *double fetch*. A guest asks for a read and says into which page. The host fetches the page number from the ring, finds that
# the page is the guest's own, and fetches the number again when it gives the disk its order. Between the two, the guest's second
# processor writes another number over it. Step through it, then let the host copy first.
# %%
fetches = lesson.fetches_panel()
fetches
# %% [markdown]
# This is not a script: the attack of the catalogue runs in the machine, and every access to that one word of the ring is written
# down, with its time. Our ring reader copies a record once and works on the copy. What the guest writes afterwards is still in the
# ring, but nobody looks there any more.
# %% [markdown]
# ## Why refused is the best
#
# PASS and REJECT do the same harm: none. They differ in what is known afterwards.
# %%
print(tables.refusals_table())
# %% [markdown]
# A *PASS* leaves no trace: the guest read zeros, or wrote into a copy. A *REJECT* is counted, and the count has an owner: it is on
# this guest's channel, or it names this device's requester id. Look at the *FAIL*, too: nothing was refused there, so nobody
# knows. Of the 89 attacks, each without its wall, 82 do their damage without a single refusal. What raises an alarm are the
# attempts that did *not* work.
# %%
ask = predict("attacks-noticed", "With every defence on, how many of all attacks does somebody refuse?", "attacks")
ask
# %%
ask.compare(len(tables.noticed()))
print()
print(tables.verdicts_table())
# %% [markdown]
# Attackers seldom get it right at once. They try. So let a guest try twice, on a host that stops a guest as soon as anything was
# refused to it. This host has a fault that nobody knows yet: in an update it lost its check of page numbers, so the second attempt
# would get through.
# %%
print(tables.series_table())
# %% [markdown]
# If the first attempt was refused, there was no second one, and the neighbour's RAM is intact, although the check is missing. If
# the first attempt merely had no effect, the host let the guest go on. That is why a host should say no, aloud, wherever it can:
# a wall keeps one attack out, but a wall that reports keeps out the next one as well.
# %% [markdown]
# ## Explain
#
# **Nothing the guest wrote is true.** An index is checked each time it is read, on a private copy (`vmio/vmbus/bus/ring.py`); a
# range of guest memory is checked before a byte moves (`vmio/vmbus/storage/srb.py`); a page list names only the guest's own pages
# (`vmio/vmbus/bus/gpadl.py`).
#
# **What is counted can be limited.** Floods wedge a host that keeps everything: each queue here has an end, and a guest that
# overfills it blocks itself. A table that all guests share (interrupts, lists of pages) has a quota for each.
#
# **What is shared is shared by turns.** A core is given away after a slice (`vmio/hypervisor/cores.py`), the host's disk
# serves its guests in turn, and so does the disk's own controller, where no host is on the way
# (`vmio/hardware/nvme/arbiter.py`).
#
# **A network is shared by addresses.** The host joins its guests' network cards by a *virtual switch*, which hands each frame to the
# one it is for. Nobody may send from another's address, so nobody can speak in its name; a guest sees its own part of the network
# and no other (a VLAN, a virtual local area network); and the switch's table, where it keeps who lives at which port, has a share for
# each port, so one guest can't fill it (`vmio/host/net/`). Try `frame-hops-the-vlan` and `frame-floods-the-table`.
#
# **Hardware needs the same care.** A device obeys its driver. The IOMMU confines its reads and writes, interrupt remapping its
# interrupts, and a reset with scrubbing ends one owner's time before the next one's begins (`vmio/passthrough/`).
# %% [markdown]
# ## Exercises
# %% [exercise] write-an-attack
# %% [stub] write-an-attack
# %%
ex = exercise("write-an-attack")
ex.check(steal)
# %% [exercise] check-a-range
# %% [stub] check-a-range
# %%
ex = exercise("check-a-range")
ex.check(allowed)
# %% [exercise] fetch-once
# %% [stub] fetch-once
# %%
ex = exercise("fetch-once")
ex.check(receive)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Xen** found its double fetches in 2015 (XSA-155, "Xenpwn"): back-ends now copy a request before they look at it.
# - **Linux** guests distrust Hyper-V as much: hardening of VMBus, the virtual machine bus (commits "Add
#   vmbus_requestor", "Copy packets sent by Hyper-V out of the ring buffer"), checks what the host sends, for confidential guests.
# - **QEMU** limits what a bus master may reach by the same trick as here: a guest's DMA goes through the guest's own map.
# - **Firecracker** proves parts of its queue code with a model checker (Kani), and stops a guest whose indices lie.
#
# `python -m vmio attack` runs the whole catalogue.
#
# {neighbours}
