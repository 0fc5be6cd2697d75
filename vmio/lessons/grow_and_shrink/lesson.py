raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Let three guests share a host that has not enough memory for all of them at once. See, byte by byte, how a guest gives
# memory away while it runs, and write the rule by which the host decides who gets how much. Then take a guest's disks away while it writes to them.
#
# **What you'll learn**
# 1. How a running guest's memory becomes smaller (a *balloon*) and larger (*hot add*), and why only the guest can choose the pages.
# 2. What *pressure* is, and what minimum, maximum, buffer and weight do.
# 3. Why a host need not trust a guest that promises to leave a page alone.
# 4. What becomes of a request whose disk goes away.
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
# A guest writes to all disks that it has, four requests at a time at each. It starts with one, *first*, by split drivers. Then the host adds three more at the same moment:
#
# - *second*, behind a controller of its own: another channel on VMBus, with rings of its own.
# - *LUN 1* (logical unit number), a second disk behind the controller of the first, by the same rings.
# - *passed through*: the guest's own driver for NVMe (non-volatile memory express) works with the registers of the real disk ({lesson:pass_a_device_through}).
#
# The host lets the three grow, and at last takes them away, without asking. At that moment four requests are under way at each of them. A request whose answer can't come any more ends with an
# error: the driver tells the program that has asked for it.
# %%
ask = predict("disks-taken", "How many requests, of all four disks, end with an error?", "requests")
ask
# %%
ask.compare(lesson.errors())
print()
print(lesson.events_table())
print()
print(lesson.disks_table())
# %% [markdown]
# The channel of *second* is gone, with its rings. The host has carried out what was under way, but there is nowhere left to put the answers. The device of *passed through* is gone, too. The
# controller of *LUN 1* stays, and it answers: what was under way is done. No request is without an end, and none has two.
#
# The guest can't know whether a write that ended with an error has reached the disk. What was done is there.
#
# Drag the times and look at the drawing. Full circles are what the host does, open ones what the guest has noticed.
#
# - Take away *Unasked*. Whose errors disappear, and why not those of *second*? (Only for a device that was passed through there is a message that asks, `EJECT`. An ordinary offer on VMBus is
#   taken back without a question, by `RESCIND_CHANNELOFFER`.)
# - Move *Taken at* in steps. At some times requests of *LUN 1* end with an error as well. The guest had sent them before it knew that the disk was gone, and the controller answers: no such disk.
# - Why does *first* do less while the new drivers start? (How many processors has this guest?)
# - Let the host take the disks before their drivers are up. Let them grow before they are added.
# - Who notices that a disk has grown? Disks that speak SCSI (small computer system interface) say so with their next answer. NVMe has an event for it, which our driver doesn't ask for.
# %%
disks = lesson.devices_panel()
for settings in (dict(), dict(at_once=False), dict(removed_us=1200), dict(added_us=600, removed_us=600)):
    disks.set(**settings)
    print(disks.text + "\n")
# %%
disks.set(added_us=200, removed_us=1300, at_once=True)
disks
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
# answers keeps what he has, and the others share the rest. Both are attacks in {lesson:break_isolation}: `balancer-lie` and `balancer-silence`, with and without what keeps them harmless.
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
# %% [exercise] one-end-for-each
# %% [stub] one-end-for-each
# %%
ex = exercise("one-end-for-each")
ex.check(ends)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** calls it Dynamic Memory: `Set-VMMemory` with `-StartupBytes`, `-MinimumBytes`, `-MaximumBytes`, `-Buffer` (20 % unless you say otherwise) and `-Priority`. While a guest
#   runs, its minimum can only be lowered and its maximum only raised.
# - **Linux** as a guest of Hyper-V: `python -m vmio boot --balloon 64` lets an unmodified kernel give 64 MiB away, and the total in `/proc/meminfo` falls by exactly that much.
# - **KVM** (kernel-based virtual machine) has balloons, too. Linux's driver for them is virtio-balloon; virtio-mem plugs and unplugs whole blocks.
# - In {lesson:scan_in_parallel} channels, cores and disks change while a guest works, and you choose the rule that decides.
#
# {neighbours}
