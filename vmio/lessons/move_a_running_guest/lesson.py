raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Move a guest from one host to another while it runs, round by round; find out when that never ends, and what is lost if one bit is missing.
#
# **What you'll learn**
# 1. How memory is copied that changes all the time, and for how long the guest stands still.
# 2. What decides whether it ends: not how fast the guest writes, but into how many pages, over which link, and when somebody says stop.
# 3. Who writes into a guest's memory - the guest is not the only one.
#
# **What you'll need.** {lesson:split_a_driver} and {lesson:move_packets}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.move_a_running_guest import panel as lesson
# %% [markdown]
# ## Copy something that changes
#
#     source                                             destination
#     guest runs   round 1: all pages                 ──> pages
#                  round 2: those written meanwhile   ──> over the old ones
#                  round 3: those written meanwhile   ──> and again
#     guest stops  the rest, processors, devices      ──> guest goes on
#
# A host has to be repaired, or is too full; its guests shall go to another host, and nobody shall notice. That is a live migration. A guest's memory takes
# minutes to copy, and the guest writes into it all the time. So the host copies all of it once, while the guest runs, and then again what
# was written meanwhile: a *round*. Each round is shorter than the one before, if all goes well. When little is left, the guest is stopped; the rest
# goes, with the state of its processors and devices, and the guest goes on at the destination. How long it stood still is the *downtime*.
#
# A page that was written since it was sent is *dirty*. Which pages are dirty is in the dirty log: a bit for each page, set by whoever writes,
# and cleared when the host reads it.
# %% [markdown]
# ## Predict
#
# A guest of 16 MiB writes into 1,024 pages (4 MiB), one after the other and then again from the first, 2,000 pages a second. The link carries
# 32 MB/s (millions of bytes a second); that is 7,800 pages a second. QEMU stops a guest when the rest takes no longer than a limit. Let that be 30 milliseconds,
# the time of 234 pages.
# %%
ask = predict("rounds", "How many rounds until the guest is stopped?", "rounds")
ask
# %%
down = predict("downtime", "And for how many milliseconds does it stand still?", "ms")
down
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.rounds())
down.compare(lesson.downtime_ms())
print()
print(lesson.rounds_table())
# %% [markdown]
# Every byte went over the link and was checked at the other side. Pages that hold nothing but zeros go as a word of 8 bytes (*of them zeros*): a guest that was just
# started is mostly empty.
# %% [markdown]
# ## Compare
#
# In t seconds the guest writes 2,000 t pages, a quarter of what the link carries in that time. Round 1 is long, so some hundred pages are dirty after it; round 2 is short, so few more are;
# and as soon as no more are left than fit into the limit, the log is read again. It can never be more than the 1,024 pages that the guest writes at all. That is the whole model (`predict` in `vmio/manage/migration/cyclic.py`). Beside
# migrations that move every byte:
# %%
print(lesson.beside_table())
# %% [markdown]
# In the last row, the guest writes faster than the link carries. All its 1,024 pages are dirty after each round, for ever.
# %% [markdown]
# ## Explore
#
# A guest of 128 MiB. Double *Pages a second* until the guest is not moved any more. Then bring it back with one control only: with the link, with the
# limit, with fewer pages, or with another rule. What does each of them cost?
#
# The panel shows the model, whose rounds are those of the table above; a migration of this guest that moves bytes would take some seconds a move.
# %%
panel = lesson.panel()
print(panel.text)
panel.set(rate=16384)
print("\n" + panel.text)
# %%
panel.set(rate=2048)
panel
# %% [markdown]
# ## When it does not end
#
# One guest, 1,024 pages, 16,000 a second, twice as fast as the link. Five ways out:
# %%
print(lesson.rules_table())
# %% [markdown]
# - **QEMU's rule** keeps its word: never more than 30 ms. So it never stops this guest, and the administrator gives up.
# - **Throttled** (QEMU's *auto-converge*): when more than half of what was sent is dirty again, twice, the guest's processors are held back, by 20 % at first, then 10 % more each
#   time. It takes 80 % until this guest is slower than the link. Nothing is lost, but whoever uses the guest notices.
# - **Xen** and **Hyper-V** count: after so many rounds, or so many bytes, the guest is stopped, whatever is left. It stands still for four times the limit.
# - **Post-copy** turns it round: the guest moves first and its pages follow. It stands still for less than a millisecond. Whenever it touches a
#   page that is not there yet, it waits until the page has come: a *fault*. And if the link goes down now, half of the guest is here and half of it
#   there: it is lost. Before, a link that goes down costs nothing; the guest just goes on at the source.
# %% [markdown]
# ## A real QEMU
#
# Fifteen migrations that QEMU 7.2 made of a guest of 128 MiB with exactly such a loop. Its link was slowed down to so many MB/s; how fast its loop writes was counted. The model says
# of each whether the guest is moved, and for those that are not, how many pages remain.
# %%
print(lesson.recorded_table())
# %% [markdown]
# *Unclear* are three rows in which the guest writes just about as fast as the link carries. There a little more or less decides, and QEMU measures its link in
# slices of a tenth of a second: it moved two of these guests, after 80 and 27 rounds, and gave one up. The model claims nothing of them.
# %% [markdown]
# ## Who writes into a guest's memory?
#
# The guest's processors do, and a host sees that: its second-level table says which pages were written. But an emulated disk writes into the guest's
# buffers, too, by DMA (direct memory access); a split disk's data comes by the *host's* addresses. None of these pass the guest's table, so whoever writes must mark the page.
#
# A guest reads its disk and is moved meanwhile. The dirty log leaves out one of the three:
# %%
print(lesson.ways_table())
# %% [markdown]
# The guest does not crash, and no error is reported: its files are wrong. Four pages were sent before the disk's data came, and never again.
# Where the processor's writes are missing, pages are wrong, too; this program was lucky that it wrote them once more.
#
# Linux's KVM (kernel-based virtual machine) keeps such a log for real guests. Here machine code loads from some pages of its memory, then stores into them, three times each; a host
# asks the kernel which pages are dirty (`KVM_GET_DIRTY_LOG`; where there is no /dev/kvm, these are recorded answers):
# %%
print(lesson.kernel_log_table())
# %% [markdown]
# Loads set no bit, three stores set one, and to ask clears it. The last row is the trap from above: what the host writes by itself, the kernel's log doesn't know.
#
# What of a device that the guest owns, as in {lesson:pass_a_device_through}? It writes by itself, all the time, and nobody asks before.
# %%
print(lesson.refusal())
# %% [markdown]
# A network card has a way out, which Azure uses: {lesson:move_packets} gave a guest a VF (virtual function), a piece of a real network card, beside its split card. The host takes it back
# before the guest moves, and the destination's host gives it one of its own card. The guest sends a frame every 0.2 ms all the time:
# %%
print(lesson.function_table())
# %% [markdown]
# It had the function from 10 ms on and was asked for it at 30 ms; it moved at 40 ms, and got another function 5 ms later. No frame was lost: each went by the way that there was.
# %% [markdown]
# ## Explain
#
# **A dirty page is sent once a round, however often it was written.** So what remains after a round is at most all the pages that the guest writes: its *writable working set*.
# If that fits into the limit, the migration ends at any speed of the guest. If not, it ends only if the guest writes slower than the link carries.
#
# **The stop is a choice, not a result.** A short downtime, a migration that always ends, a guest at full speed: with a fast writer you can have two of the three
# (`vmio/manage/migration/rules.py`).
#
# **Until the destination has said that it runs, the source gives up nothing.** Each record has a checksum, the whole stream another one (`wire.py`). Whatever is
# cut, changed or refused, the guest goes on where it was.
#
# **The log must know every writer.** In this package each way into a page has one place where it is told (`vmio/hypervisor/dirty.py`): `AddressSpace.write` for
# processors and emulated devices, `HostMemory.write` for the host and its hardware.
# %% [markdown]
# ## Exercises
# %% [exercise] write-the-stop-rule
# %% [stub] write-the-stop-rule
# %%
ex = exercise("write-the-stop-rule")
ex.check(decide)
# %% [exercise] find-the-missing-dirty-bit
# %% [stub] find-the-missing-dirty-bit
# %%
ex = exercise("find-the-missing-dirty-bit")
ex.check(dirty_pages)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** moves guests between hosts of a cluster, or between any two; memory is compressed on its way. A guest with a device of its own (DDA, discrete device assignment) can't be
#   moved. A guest with a virtual function of a network card can, as above.
# - **QEMU/KVM**: `migrate`, `migrate-set-parameters` (`max-bandwidth`, `downtime-limit`), `migrate-start-postcopy`; `query-migrate` shows what the tables here show.
# - **Xen** had it first as a product; C. Clark and others, NSDI 2005, measured downtimes of 60 to 210 ms.
# - `python -m vmio migrate --help` moves other guests over other links; [docs/migration.md](../docs/migration.md) says what is simpler here than in reality.
#
# {neighbours}
