raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Let three guests share a host that has not enough memory for all of them at once. See, byte by byte, how a guest gives
# memory away while it runs, and write the rule by which the host decides who gets how much.
#
# **What you'll learn**
# 1. How a running guest's memory becomes smaller (a *balloon*) and larger (*hot add*), and why only the guest can choose the pages.
# 2. What *pressure* is, and what minimum, maximum, buffer and weight do.
# 3. Why a host need not trust a guest that promises to leave a page alone.
#
# **What you'll need.** {lesson:split_a_driver}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.grow_and_shrink import panel as lesson
# %% [markdown]
# ## A balloon in the guest
#
# A guest gets its memory when it starts. An hour later it may need half of it, and its neighbour twice what it has. The host can't simply take
# pages away: it does not know which ones are in use. The guest knows. So the host asks, and a driver in the guest answers:
#
#     the host's half                          the guest's half (in Linux: hv_balloon)
#     ────────────────                         ─────────────────────────────────────
#     "give me 1,024 pages"      ── BALLOON ────────────>   takes free pages from its own kernel, as any program does,
#                                <─ BALLOON_RESPONSE ───    and says which ones
#     takes them out of the guest's page
#     table: now they are the host's
#     "you may use these again"  ── UNBALLOON ──────────>   gives them back to its kernel
#                                <─ STATUS_REPORT ──────    once a second: how much do I need?
#
# The driver blows itself up like a *balloon*, and what it fills nobody else in the guest can use. Both halves speak over VMBus (the virtual machine bus), by two rings as
# the disk does. This is an answer in which a guest gives two pieces of 2 MiB, 512 pages of 4 KiB each:
# %%
print(lesson.balloon_message())
# %% [markdown]
# Each range is one number: where it begins in the lower 40 bits, how many pages it has in the upper 24. A message has 4,096 bytes at most, so there is room
# for 510 ranges.
#
# A guest need not give all that it is asked for. Linux keeps a *floor* for itself:
# %%
print(lesson.floor_table())
# %% [markdown]
# ## Predict
#
# Three guests start with 192 MiB each: *web*, *database* and *batch*. The kernel and the drivers of each take 18 MiB of that, the rest is for programs. From second
# 6 to second 16 the programs of batch want 240 MiB. The host leaves everything as it is.
#
# A page that is wanted and is not there has to be written to disk and read back. Let us count how much is missing, and for how long: 5 MiB that are missing for 2 seconds are 10
# MiB times seconds.
# %%
ask = predict("batch-misses", "How much do the programs of batch miss over the whole run?", "MiB times seconds")
ask
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.missed(balanced=False))
print()
print(lesson.run(balanced=False).table())
# %% [markdown]
# *Needs* is what a guest reports: what its programs were promised, and its floor. *Pressure* is what it needs in per cent of what it has: at 100 it has exactly
# enough. batch is far above that, and web and database have more than they need. So let the host balance.
# %% [markdown]
# ## Compare
# %%
print(lesson.run(balanced=True).table())
print()
print(f"batch misses {lesson.missed()} MiB times seconds, instead of {lesson.missed(balanced=False)}")
# %% [markdown]
# Nobody was restarted. While batch had little to do it gave pages to the host. When it needed them they came back, and more with them: batch
# ends up with more than the 192 MiB it started with. That is a *hot add*: the host offers memory behind the end of what the guest has, as if somebody had
# put another module into a real machine. Linux prepares 128 MiB of addresses at a time, and uses of them what it is given.
#
# All of this took a few messages:
# %%
print(lesson.messages_table())
# %% [markdown]
# ## Explore
#
# Drag *Second* through the run and watch who has the memory. Then:
#
# - Raise *Host has* until there is enough for all. From where on does *batch weighs* no longer matter?
# - Set *Buffer* to 0. The host gives everybody exactly what he needs. Who is better off, and what is lost?
# - Raise *Minimum*. Whose memory is that?
# %%
panel = lesson.panel()
for settings in (dict(), dict(weight=100), dict(host=1152), dict(balanced=False)):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(balanced=True, host=576, weight=50)
panel
# %% [markdown]
# ## Disks come and go, too
#
# A guest writes to all disks that it has, eight requests at a time. Meanwhile the host gives it three more: one behind a controller of its own, one as a second disk
# of the first controller (a *LUN*, logical unit number), one passed through. One of them grows. Then all three are taken away, and only the first of these without a word.
# %%
print(lesson.events_table())
# %%
print(lesson.disks_table())
# %% [markdown]
# Only what was under way at the disk that went unasked has failed, and it says so. The guest can't know whether such a write reached the disk. What was answered did.
# %% [markdown]
# ## Explain
#
# **The guest chooses the page, the host takes it.** When the answer comes, the host looks through all of it first: does the guest have these pages, each
# of them once, and is none of them lent to somebody? Only then it takes them out of the guest's second-level page table (`vmio/vmbus/balloon/dynamic.py`).
#
# **Nobody has to believe the guest.** A guest that touches a page which it gave away finds nothing there, and is stopped. The page has been filled with zeros,
# so its next owner reads nothing of it.
#
# **The rule.** Microsoft says what an administrator can set, but not how Windows decides. The rule here is ours (`shares` in `vmio/manage/memory.py`):
#
# 1. A guest's *target* is its demand and a *buffer* on top, never less than its minimum, never more than its maximum.
# 2. Everybody has his minimum.
# 3. What is left is shared by *weight* among those who are below their targets. Who reaches his target takes no more, and what he leaves is shared again.
#
# **A liar hurts himself, or nobody.** Who reports a need that he doesn't have gets his maximum at the most, and when memory is short his part by weight. Who never
# answers keeps what he has, and the others share the rest.
#
# **A guest with a device of its own keeps all its pages.** A device that was passed through writes to memory by itself, and nobody can tell it that a page has
# gone ({lesson:pass_a_device_through}). Such a guest is *pinned*, and the host says so.
# %% [markdown]
# ## Exercises
# %% [exercise] share-the-memory
# %% [stub] share-the-memory
# %%
ex = exercise("share-the-memory")
ex.check(share)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** calls it Dynamic Memory: `Set-VMMemory` with `-StartupBytes`, `-MinimumBytes`, `-MaximumBytes`, `-Buffer` (20 % unless you say otherwise) and `-Priority`. While a guest
#   runs, its minimum can only be lowered and its maximum only raised.
# - **Linux** as a guest of Hyper-V: `python -m vmio boot --balloon 64` lets an unmodified kernel give 64 MiB away, and the total in `/proc/meminfo` falls by exactly that much.
# - **KVM** (kernel-based virtual machine) has balloons, too. Linux's driver for them is virtio-balloon; virtio-mem plugs and unplugs whole blocks.
#
# {neighbours}
