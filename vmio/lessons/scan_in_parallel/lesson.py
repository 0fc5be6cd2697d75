raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Let up to 16 workers search one real disk image at the same time. Predict how much faster they are, find out what ends it, give them other channels, cores,
# memory and disks while they work, and choose the rule that decides.
#
# **What you'll learn**
# 1. How to cut a file so that nothing is lost or counted twice at the borders.
# 2. How two laws predict 16 workers from a few measurements, and where they stop being true.
# 3. Why one slow worker can cost more than all others together bring, and three answers to it.
# 4. How a host sees that one guest takes more than its share, and what contains it.
# 5. What more memory changes while a program runs, and how much of it a host gets back.
# 6. Why a rule that reacts to old numbers swings, and in which time.
#
# **What you'll need.** {lesson:fill_a_ring}, {lesson:pass_a_device_through}, {lesson:grow_and_shrink}. About {minutes} minutes. This is a lab: it ends with a report that you write.
# %%
from vmio import many, scan
from vmio.lab import Report, exercise, predict
from vmio.lessons.scan_in_parallel import panel as lesson
# %% [markdown]
# ## Four words in a file system
#
# The disk image of {lesson:emulate_a_device} is an ext4 file system with Debian's licences. How often are *license*, *copyright*, *warranty* and *the* in it, in upper or lower case? All text lies in the
# first 7 MiB, so we search 8. The image is cut into pieces of 64 KiB. A worker takes a piece, reads it, and searches it while its next reads are on their way.
#
# A worker is a virtual processor (vCPU) of one guest, with a channel of its own to the disk, or a guest with a disk of its own. A core searches 250 MB in a second, the disk reads 5,696.
# %%
print(lesson.ways_table())
print()
print(lesson.counts_table())
# %% [markdown]
# All of them find the same, and four workers need about a quarter of the time. Passing the disk through hardly changes that time: here the cores are busy, not the way to the disk. What it changes is
# the work of the host.
#
# ## The border
#
# A word may lie across the border of two pieces. So a worker reads on: as far as the longest word less its first letter. Without this *overlap* nobody finds such a word:
# %%
print(lesson.borders_table())
# %% [markdown]
# With pieces of 64 KiB the mistake can't be seen: by chance no word lies across one of those borders. With 16 KiB one of 1,794 is lost, and no test that was written with
# large pieces would have noticed.
#
# ## Predict
#
# The last worker joins the lists of all. That takes 50 ns for each of the 10,067 matches, and meanwhile the others have nothing to do. With 8 workers the search is 6.88 times as fast as with one.
# %%
ask = predict("sixteen-workers", "How many times as fast as one worker are 16?", "times as fast as one worker")
ask
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.sixteen())
print()
print(lesson.speeds_table())
# %% [markdown]
# ## Compare
#
# **Amdahl's law**: if the part *a* of the work can be done by one alone, n workers are n / (1 + a (n - 1)) times as fast. **The universal scalability law** has one term more, b n (n - 1), for what each *pair* of
# workers costs. Both were fitted to 1, 2, 4 and 8 workers only, and 16 was held back. Amdahl's law is too hopeful by 7 percent, the universal one is right within 2.
#
# Here no pair of workers talks to each other, and still *b* is not 0. With more workers each has fewer pieces, and the last one to end lets all others wait. What is called *coherency* in the law
# is in this case the end of the work.
#
# ## Where the device ends it
#
# Neither law knows the disk. What it can give divided by what one worker takes is a number of workers that can be said before any second worker runs:
# %%
print(lesson.device_table())
# %% [markdown]
# If a core searches 2,000 MB in a second, more than 4 workers bring nothing: the disk is busy. The speed stays a little below what was said, as nobody reads while the first pieces come and the last ones are searched.
#
# ## One slow worker
#
# Worker 0 is on a core that somebody else heats: it takes 8 times as long to search a piece. Each of four workers has a quarter of the image as its own.
# %%
ask = predict("slow-worker", "How many times as long does the whole take?", "times as long")
ask
# %%
ask.compare(lesson.slower())
print()
print(lesson.slow_table())
# %% [markdown]
# With parts of their own, three workers wait for the slow one. If all take from *one list*, it gets fewer pieces, and only its last ones are late. And if those who have nothing left to do
# begin *copies* of the pieces that are still open, whoever ends first counts, and the slow worker's own end does not matter. MapReduce called them backup tasks: without them a sort at Google took 44 percent longer, 1,283 seconds instead of
# 891, because of the last five tasks (Dean and Ghemawat, OSDI 2004, section 5.4).
#
# ## A greedy worker
#
# Four guests search a disk that gives 1,000 MB in a second, and each could search four times as much: the disk is what they share. Each keeps 2 reads in flight. Guest 0 keeps 16. Nobody
# has allowed it that, and nobody was asked: how many reads it sends is a guest's own affair. The host's block layer counts what it serves to whom:
# %%
print(lesson.greedy_table())
# %% [markdown]
# *First come, first served* gives most to who asks most. A **fair queue** asks who has had least, so a long line of one guest makes only that guest wait: look at what its reads take. A **limit** of 250 MB in a second
# does the same here, but it would hold the guest back on an idle disk, too. And a limit that comes late can't take back what was served before ({lesson:share_a_device}).
#
# All need the same time in every row. The disk is busy all along, and who is greedy is only earlier than the others. So the total does not show the greedy one, and the counters of each guest do.
# %% [markdown]
# ## Explore
#
# - Set *Work is in* to *one list*, then to *one list, copies*. How many pieces has worker 0 searched in each?
# - Raise *Reads ahead* with *one list*. Why does it get slower?
# - Set *Worker 0 slower by* to 1 and *MB/s of a core* to 4,096. What is busy now? How many workers still bring something?
# %%
panel = lesson.panel()
for settings in (dict(), dict(answer="one list"), dict(answer="one list, copies"), dict(answer="one list", depth=8)):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(answer="own parts", depth=2)
panel
# %% [markdown]
# ## While it runs
#
# Eight workers search, and the host changes what they have: their channels, its own cores, the reads in flight. To close channels the guest lets all reads come that are under way, so it takes a moment until it has what the host wants.
# %%
print(lesson.changes_table())
# %% [markdown]
# And here four guests search, and each of them gets a function of another disk for its own, with the same image ({lesson:pass_a_device_through}). They go on where they were:
# %%
print(lesson.changes_table(lesson.MOVED))
# %% [markdown]
# ### Memory
#
# Who asks more than one question reads the same data more than once. From here on four vCPUs of one guest go through the text twice, each time for two of the words. A core searches 4,000 MB in a second, and the disk gives
# 1,000, so whoever waits, waits for the disk. What the guest has read it keeps, as long as there is memory for that (its *page cache*), and what is kept needs no disk. The text is
# 53 pieces of 128 KiB. How many does it read, with how much memory? In the third row its host adds 6 MiB behind the end of what the guest has while it searches (*hot add*, {lesson:grow_and_shrink}).
# %%
print(lesson.memory_table())
# %% [markdown]
# 15 pieces have room in 2 MiB, so the second pass finds 15 and reads 38 again. With 8 MiB there is room for all; three are read twice, since the second pass begins while other workers still search the last pieces of the first.
# Memory that comes at 2 ms helps from then on, and not before: what was read and had no room is gone.
#
# A piece for which there is no room does not push out another. If the piece that was used longest ago had to go, as in many caches, a guest that always begins again at the first piece would find nothing: it would throw away
# just what it wants next.
#
# And back? The host asks, and the guest chooses what it gives (*balloon*): what is free, then what it has only kept. The whole image is searched twice now, by a guest that has 40 MiB for it, and at 30 ms the host asks for 20 of them:
# %%
print(lesson.back_table())
# %% [markdown]
# It gets 10. A Linux guest of this size always keeps 8 MiB and half of all that it has, whatever the host asks. 11 pieces that were kept must be read again, and nothing is counted wrong.
#
# Choose what changes. The host has 32 MiB for guests that grow: what happens to one that wants more? And why do channels, cores and reads ahead change so little here?
# %%
panel = lesson.changes_panel()
for settings in (dict(), dict(later=48), dict(later=2, memory=8), dict(memory=2, later=8, what="channels: 1")):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(what="memory")
panel
# %% [markdown]
# The host refuses in one sentence what it has not, and the guest searches on with what it has. Less than it begins with it can hardly have: what is left is below the part that it always keeps. And all that is no memory changes little, for the
# disk is what everybody waits for: only fewer reads make it faster. A function of one's own is no way out here. The device must be able to reach all of a guest's memory at any time, so such a guest has no dynamic memory.
# %% [markdown]
# ## Who decides?
#
# Somebody must say how many reads each worker keeps in flight. With few the disk is idle, with many each read waits long. The disk of this part gives 1,000 MB in a second, two workers ask for
# more, and a read should take no more than 300 us. Every 150 us the host looks how long reads took, and a rule says what to do:
#
# | rule | reads took too long | else |
# |---|---|---|
# | static | nothing | nothing |
# | threshold | one fewer | one more, but only below half the target |
# | AIMD (additive increase, multiplicative decrease) | half | one more |
# | PID (proportional, integral, derivative) | fewer, by how much too long | more, by how much too short |
# | hasty | one | 16 |
#
# What the host sees is old: the numbers come with a *delay*.
# %%
print(lesson.rules_table())
# %% [markdown]
# **Hasty swings.** It answers at once, and sees what came of it only later; a swing takes twice that time. A read's own time is part of it: at 16 reads in flight one takes about 500 us, so with a delay of
# 600 us it is 2 times 1,100 us or a little more, until the next look.
#
# **AIMD** swings, too, but it comes back to the right place each time, and if many share something by this rule, they end with equal parts (Chiu and Jain, 1989). The internet's connections have done so since 1988.
#
# **PID** adds up three numbers: how far off reads are now, how far off they have been so far, and how fast that changes (`vmio/experiments/scan_rules.py`). For each us that a read is too fast it adds 0.008 reads; what is left of
# the mistake is added up and doubles that in 600 us; the slope looks 150 us ahead. It brings the average *to* the target, where the others only keep below it, so some reads are late. Its three numbers fit this disk, and on
# another they would be wrong. While nothing more can be given, the sum must not grow on (*windup*), or the rule would have to work that off before it could turn.
#
# **Threshold** leaves a band in which it does nothing (*hysteresis*), so it comes to rest. With a delay of 1,200 us even that is not enough.
# %% [markdown]
# In the panel the delay is counted in looks, of 150 us each. Which rule do you trust with old numbers?
# %%
panel = lesson.rules_panel()
for settings in (dict(), dict(rule="AIMD"), dict(rule="threshold"), dict(delay=8), dict(rule="PID")):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(rule="hasty", delay=4)
panel
# %% [markdown]
# ## Explain
#
# **Cut by bytes, belong by beginnings.** A match belongs to the piece in which it begins (`vmio/experiments/scan_job.py`). With that rule no worker needs to know of another.
#
# **A law is as good as what it knows.** Amdahl's knows the part that one does alone, the universal one also what grows with each pair. A device that is busy, or a host with too few cores, is not in it. Predict from what you have
# measured, and say what must not change for it to stay true.
#
# **Memory is time.** What is kept is not read again. A host can give memory at once, and it gets back only what a guest can do without.
#
# **A delay is part of every loop.** Who governs by measuring sees the past. Either act in small steps, or act less often than the delay, or do nothing in a band.
#
# ## On all cores of your own computer
#
# These scans don't know of each other, so they can run side by side, each in a process of its own. `kept` has what is done: stop this cell in the middle and run it again, and it goes on from there. With `client=` and a Dask
# client the same line runs on a class's cluster (`docs/doors.md`).
# %%
kept = {}
# %%
points = [scan.ScanParams(workers=workers, depth=depth) for depth in (1, 2, 8) for workers in (1, 2, 4, 8, 16)]
results = many.run(scan.run, points, kept, what="scans")
for depth in (1, 2, 8):
    print(f"{depth} ahead:", ", ".join(f"{one.virtual_ns / 1e6:.2f} ms" for one in results if one.params.depth == depth))
# %% [markdown]
# ## Exercises
# %% [exercise] count-across-borders
# %% [stub] count-across-borders
# %%
ex = exercise("count-across-borders")
ex.check(found)
# %% [exercise] fit-the-law
# %% [stub] fit-the-law
# %%
ex = exercise("fit-the-law")
ex.check(fit)
# %% [markdown]
# ## Your report
#
# Answer each question in a few sentences, with numbers that you have counted. The answer to the third is nowhere in this text: find it with scans of your own, such as
# `scan.run(scan.ScanParams(workers=8, cores=4))`. Then give `save` the name of a new folder.
# %%
report = Report("L2 · Scan in parallel", [
    "How many workers would you pay for, if each costs as much as the one before it? Which numbers say so?",
    "Which of the five rules would you choose, and for which delay would you choose another?",
    "A host has 4 cores. From how many workers on do more of them bring nothing, what does the law that was fitted to 1, 2 and 4 say of 8, and what would you measure to see the end coming?"])
report.table("Times as fast as one worker", ("workers", "times"), lesson.speeds().items())
for chart in panel.charts:
    report.chart(chart)
report.answer(1, "")
report.answer(2, "")
report.answer(3, "")
print(report.save(""))
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hadoop** and **Spark** cut files into pieces of 128 MiB, hand them out one by one, and begin copies of slow ones (`mapreduce.map.speculative`, `spark.speculation`).
# - **Linux** gives a fast disk a queue for each core, and a disk of Hyper-V's further channels for its vCPUs, so that those who work at the same time need not wait for each other.
# - **Clouds** add machines by thresholds with a band and a time of rest after each change; both are there against swings.
#
# {neighbours}
