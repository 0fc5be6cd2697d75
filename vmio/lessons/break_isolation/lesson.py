raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Attack the machine of the last lessons from inside a guest: its memory, rings, DMA and interrupts. Each
# attack runs with its defence off and on.
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
# %% [markdown]
# ## Who touches what
#
#     hostile guest ── registers, PRD tables ──────> emulated devices ──┐
#                   ── rings, GPADLs, hypercalls ──> VSP, bus ─────────┼──> canaries
#                   ── DMA, interrupts ────────────> its own device ───┘
#
#     canaries: the neighbour's RAM and disk, the host's pages, who comes next
#
# In each run an honest neighbour does its own I/O. Afterwards three things are *measured*: are all canaries what they were,
# has the attacker seen one, and did the neighbour's requests come in time? That gives the verdict: **PASS** (no effect),
# **REJECT** (refused: a status, a fault, a closed channel), **FAIL** (something leaked or was changed), **WEDGED** (the host
# or the neighbour stopped making progress).
# %% [markdown]
# ## Predict
#
# The catalogue is a list of attacks, each aimed at one defence. That one is switched off, and all others stay on.
# %%
ids = list(lesson.attacks())
print(len(ids), "attacks")
ask = predict("attacks-that-win", f"How many of the {len(ids)} do damage, FAIL or WEDGED?", "attacks")
ask
# %% [markdown]
# ## Run
# %%
won = [id for id in ids if lesson.outcome(id, False).verdict in ("FAIL", "WEDGED")]
ask.compare(len(won))
print()
print(lesson.verdicts_table())
# %% [markdown]
# ## Compare
#
# Every one of them wins when the check that it is aimed at is missing, and none when it is there. That is what the checks
# are for, and how one knows that none is superfluous.
#
# Who pays? L: the attacker has seen it. C: it has been changed.
# %%
print(lesson.matrix_table())
# %% [markdown]
# A flood needs no bug: each of its requests is correct. It takes time, and what is shared is shared in time, too. How many
# times as long do the neighbour's requests take beside it? (One flood costs memory instead: the host keeps each message.)
# %%
print(lesson.floods_table())
# %% [markdown]
# ## One attack, step by step
#
# The *double fetch*. The host looks at a number in shared memory, finds it harmless, and looks again when it uses it. The
# guest writes in between.
# %%
print(lesson.double_fetch_table())
# %%
print(lesson.one_table("ring-double-fetch"))
# %% [markdown]
# The real one does it to page numbers. Our ring reader copies a record once and works on the copy: then there is nothing
# left to change.
# %% [markdown]
# ## Explore
#
# Choose an attack, guess, then take its defence away.
# %%
panel = lesson.panel()
print(panel.text)
panel.set(id="dma-stale-mapping", defence=False)
print("\n" + panel.text)
# %%
panel.set(id="ring-double-fetch", defence=True)
panel
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
# %% [markdown]
# ## In practice
#
# - **Xen** found its double fetches in 2015 (XSA-155, "Xenpwn"): back-ends now copy a request before they look at it.
# - **Linux** guests distrust Hyper-V as much: VMBus hardening (commits "Add vmbus_requestor", "Copy packets sent by Hyper-V out
#   of the ring buffer") checks what the host sends, for confidential guests.
# - **QEMU** limits what a bus master may reach by the same trick as here: a guest's DMA goes through the guest's own map.
# - **Firecracker** proves parts of its queue code with a model checker (Kani), and stops a guest whose indices lie.
#
# `python -m vmio attack` runs the whole catalogue.
#
# {neighbours}
