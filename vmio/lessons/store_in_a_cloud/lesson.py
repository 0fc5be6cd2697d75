raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Run the disk of a small cloud: a victim, a bully and six others on it. Try what a provider can do about the bully, measure what each way costs, and write a report about it.
#
# **What you'll learn**
# 1. Why providers promise a *tail*, the slowest requests, and not a mean.
# 2. What policies, limits and virtual functions do for a tail, and what they take from others.
# 3. How far theory goes: two cases in which a formula says the same as the machine.
#
# **What you'll need.** {lesson:pass_a_device_through}, {lesson:share_a_device}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.store_in_a_cloud import panel as lesson
# %% [markdown]
# ## One disk, eight guests
#
#     victim ── StorVSC ──> StorVSP ──┐
#     guest1 ── StorVSC ──> StorVSP ──┤
#       ...                           ├──> the host's policy ──> physical function ──┐
#     bully  ── StorVSC ──> StorVSP ──┘                                              ├──> medium
#     one of them, perhaps ────────────────────────────────> virtual function ───────┘
#
# The requests were recorded in real guests (`data/traces`): which blocks, how many, in which order, with which flushes. They come at
# random, with a fixed seed, because the recorded times are those of a slow recorder. A request comes when it comes, whether the last one is over or not; its
# *latency* is counted from then on, so a wait inside the guest is part of it.
# %%
print(lesson.guests_table())
# %% [markdown]
# The victim is a database that commits small transactions. The bully copies a large file; he is not evil, he only asks for all he can get, 3 ms long, and then sleeps.
#
# The *99th percentile*, p99, is the latency that 99 of 100 requests don't exceed; p99.9 is that of 999 of 1,000. A provider sells an *objective*: in each window of 100 ms, p99 is at most 1 ms.
# %% [markdown]
# ## Predict
#
# Alone on the disk, 99 of 100 of the victim's requests take at most 87 us. Now the seven others come. The host has no policy, and the disk will be busy for 15 percent of the time.
# %%
ask = predict("bully-tail", "99 of 100 of the victim's requests: at most how many us, with seven neighbours and no policy?", "us")
ask
# %% [markdown]
# Then the host gives the victim a virtual function of the disk, while it runs. Nobody stands between the victim and the disk any more.
# %%
function = predict("function-tail", "How many percent of that 99th percentile are gone?", "percent")
function
# %% [markdown]
# ## Run
#
# Eight ways to treat the same eight guests, a second each. Measured is what comes after the first 100 ms.
# %%
ask.compare(lesson.tail_us("no policy"))
function.compare(lesson.gone_percent())
print()
print(lesson.ways_table())
# %% [markdown]
# *Kept* is the part of the windows in which the objective was kept, *exits* are the victim's, for each request. *Token buckets* give every guest what a volume of one provider has: 3,000 requests and 125 MiB a second
# (rows V01.4 and V01.5 of `data/published.csv`). *By turns*: the disk itself lets its functions take turns, four bursts of 32 KiB for the host's and one for the virtual one.
# %% [markdown]
# ## Compare
#
# - **The median hides it.** It is the same in every row above the functions. The bully is there for 3 ms of 100, so most requests never meet him; the few that do wait for all that he has asked.
# - **Weights keep the tail.** The victim's p99 falls to less than a tenth, and the disk moves as many bytes as before. The bully's median doubles: somebody has to wait.
# - **A reservation adds nothing here**, for the victim asks for less than its share anyway. It is for hosts that have sold large weights to others.
# - **Token buckets have the best tail of the policies, and leave the disk idle while the bully waits**: his median is 680 ms. A limit is no share.
# - **A function saves one exit of four**, the signal's, and a quarter of the median. *The tail stays*: {lesson:pass_a_device_through} took the host out of the way, and nothing else. The medium still serves who comes first.
# - **Only who orders the medium can protect a tail on it.** That is the host, as long as all requests pass it; with functions it must be the disk.
# - **If the bully gets the function, the host's policy is void.** The same mClock that kept the tail is in force in the last two rows, but it never sees the bully.
#
# Jain's index of the bytes is the same everywhere: it looks at amounts, and everybody gets all that was asked for, sooner or later.
#
# J. Huang and others (*FlashBlox*, FAST 2017) gave guests channels of the flash itself and measured a p99 that was up to 3.1 times lower than with sharing by software alone.
# %% [markdown]
# All guests of one way. Who else suffers, and who doesn't?
# %%
print(lesson.guest_table("no policy"))
# %% [markdown]
# And the move itself. The guest brings its function up beside the requests that are under way, lets the old way run empty, and goes on by the new one; no byte differs from those of the guests that stayed.
# %%
print(lesson.move_table())
# %% [markdown]
# ## Explore
#
# Smaller bursts and 60 ms, so that it answers at once. Find a setting in which the victim has a function and keeps 500 us. Then give the function to the bully: which policies still help? With `limits`, what does the victim's own limit do to it?
# %%
panel = lesson.panel()
print(panel.text)
panel.set(policy="fair", moved="bully")
print("\n" + panel.text)
# %%
panel.set(policy="fifo", moved="nobody")
panel
# %% [markdown]
# ## Explain
#
# **A queue is long before the disk is busy.** Requests that come at random meet each other by chance. If a disk takes one at a time and always equally long (S), and is busy for a part rho of the time, the mean wait is
#
#     rho / (2 (1 - rho)) x S
#
# (called M/D/1: random arrivals, a fixed service, one server; F. Pollaczek 1930, A. Khinchine 1932). Beside it 20,000 reads of 75.1 us each on the machine:
# %%
print(lesson.queue_table())
# %% [markdown]
# At 90 percent the wait is more than four services. But our disk is busy for 15 percent only: its tail comes from *bursts*, which the formula's even randomness does not have.
#
# **A token bucket has an exact answer.** Sixty requests at once, a bucket that holds 30 tokens and gets 300 a second: 30 go at once, and each other one waits for a token.
# %%
print(lesson.bucket_table())
# %% [markdown]
# **Being fair costs something, where reads and writes mix.** The disk moves both side by side. A fair host keeps its queue at the disk short, for what the disk has taken can't be overtaken; with a short queue, often only one kind is there. Here the bully
# never sleeps:
# %%
print(lesson.window_table())
# %% [markdown]
# **One run is one throw of the dice.** Only few of 270 requests meet the bully in a shorter run, and p99 is the third slowest of them. Six other seeds, counted on all cores of this machine:
# %%
print(lesson.luck_table())
# %% [markdown]
# By luck "no policy" may look as good as any other. A number about a tail needs many requests, or many runs.
#
# ## A trace of your own
#
# Traces of real clouds may be used in class, but not passed on by us. Several of their forms are recognised: those of Microsoft Research Cambridge, Alibaba, Tencent, SYSTOR '17 and the Storage Performance Council, and what `blkparse`, `biosnoop` and `fio` write. Give `with_trace` the file's name,
# and if it has several volumes one of their names. On the command line, `python -m vmio run --mode split --trace FILE --timed` runs one guest with it, at its own times. Here one of ours:
# %%
print(lesson.with_trace("untar"))
# %% [markdown]
# ## Exercises
# %% [exercise] count-the-kept-windows
# %% [stub] count-the-kept-windows
# %%
ex = exercise("count-the-kept-windows")
ex.check(kept)
# %% [exercise] empty-a-bucket
# %% [stub] empty-a-bucket
# %%
ex = exercise("empty-a-bucket")
ex.check(lasts)
# %% [markdown]
# ## Your report
#
# You are the provider's engineer. The report has five questions; the last one is not answered by this text. Its tables and figures are those of your own runs.
# %%
report = lesson.report()
for number, question in enumerate(report.questions, 1):
    print(f"{number}. {question}")
# %% [markdown]
# Set the panel above to the way that you would sell, write your answers between the quotes, and give the folder a name, such as `"my_report"`. Then the cell makes that folder: `report.md` for you to go on writing, each table as CSV (comma-separated
# values) and each figure twice, as PNG (portable network graphics) and as SVG (scalable vector graphics). It never writes over an older report; a second version needs a second name.
# %%
report.panel("The way that I would sell", panel)
report.answer(1, "")
report.answer(2, "")
report.answer(3, "")
report.answer(4, "")
report.answer(5, "")
print(report.save(""))
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V**: Storage QoS (quality of service) has minimum and maximum IOPS (I/O operations per second) for a virtual disk, and says when a minimum was not reached; disks of virtual machines are given virtual functions as well, in Azure for local disks.
# - **Amazon** sold volumes with a bucket of credits (gp2) and sells those with a fixed rate (gp3). **Azure** lets smaller disks burst for 30 minutes.
# - **NVMe** (non-volatile memory express) knows weighted round robin between the queues of one controller; how the functions of a disk share its medium is left to its maker. Ask before you buy.
# - `vmio/experiments/cloud.py` is this lab in Python: other guests, other traces, other promises.
#
# {neighbours}
