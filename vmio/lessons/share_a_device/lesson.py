raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Put many guests on one disk, let a noisy one in, and change everybody's share while they run.
#
# **What you'll learn**
# 1. Why "first come, first served" gives the disk to whoever asks most.
# 2. How a host keeps weights, caps and reservations: deficit round robin, weighted fair queueing, mClock.
# 3. What fairness costs, and how to say how fair something is with one number.
#
# **What you'll need.** {lesson:split_a_driver}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.share_a_device import panel as lesson
# %% [markdown]
# ## Who touches what
#
#     guest a ──┐
#     guest b ──┼──> block layer ── scheduler: who is next? ──> NVMe driver ──> one disk
#     guest c ──┘        │
#                        └── notes for each guest: bytes, waiting, time at the device
#
# Split drivers meet in the host, so the host decides. (A device that was passed through has no such place: there the
# hardware decides.)
# %% [markdown]
# ## Predict
#
# Three quiet guests read 4 KiB at a time, 75 us each. A fourth comes and keeps 64 reads of 256 KiB going.
# %%
ask = predict("noisy-neighbour", "First come, first served: how many times longer does a quiet guest's read take then?",
              "times")
ask
# %% [markdown]
# ## Run
# %%
before, after = (lesson.quiet_us("fifo", late) for late in (False, True))
ask.compare(round(after / before, 1))
print()
print(lesson.noisy_table())
# %% [markdown]
# ## Compare
#
# The noisy guest loses nothing worth mentioning when the others are protected: the disk is as busy as before. (`limits`
# needs a cap to do something, and nobody has one here.)
#
# Weights 50, 50 and 300; the third guest comes in the middle. What the first two get, alone and then:
# %%
print(lesson.shares_table())
# %% [markdown]
# ## Shares that change while everything runs
#
# Three equal guests. At 5 ms the first one's weight is tripled, at 10 ms the second is capped, at 15 ms the cap goes.
# No request is lost or repeated; the scheduler just decides differently from then on.
# %%
print(lesson.live_table(lesson.live()))
# %% [markdown]
# Now change the shares yourself, or the policy: which policies heed a weight, which a cap, which a reservation?
# %%
lesson.live_panel()
# %% [markdown]
# The host's *cores* come and go, too. Small reads keep the processors busy, not the disk: eight guests read 512 bytes at a time,
# and a core that is taken away finishes its time slice first.
# %%
print(lesson.cores_table())
# %% [markdown]
# ## From 1 guest to 256
# %%
print(lesson.scale_table())
# %% [markdown]
# The disk gives all it has from four guests on. After that everybody's part shrinks, evenly - *Jain's index* stays at
# 1 to within a hundredth - and everybody waits longer. Does a guest's own work for a read grow with the number of its neighbours?
# %%
print(lesson.cost_table())
# %% [markdown]
# It does not: every guest has a ring and a worker of its own. What grows is the line at the disk.
# %% [markdown]
# ## Explore
#
# Quiet guests, a steady one, and a noisy one that comes at 2 ms. Start with `fifo`, raise *Noisy, in flight*, then change
# the policy. With `mclock`, try a cap, a weight, and a reservation. Does it matter how many quiet guests there are?
#
# The panel's last line says what a policy is worth to a quiet guest. Jain's index would not: it looks at amounts, and a
# guest that asks for little gets little under any policy.
# %%
panel = lesson.panel()
print(panel.text)
panel.set(policy="mclock", weight=400)
print("\n" + panel.text)
# %%
panel.set(policy="fifo", weight=100)
panel
# %% [markdown]
# ## Containers: one kernel or many
#
# *Process-isolated* containers share one guest's kernel, its driver and its channel. A *Hyper-V-isolated* container has a
# small guest of its own: a channel, a difference disk, and the base layer as everybody has it. The same requests both ways:
# %%
print(lesson.containers_table())
# %% [markdown]
# One kernel batches the requests of all and reads each base block once. With a kernel each, the price is exits, memory and
# rings for each container. First touches
# are among the exits: the host backs such a guest's memory page by page, as it is touched, and an ordinary guest's when it
# starts. (The table's RAM, random-access memory, is what these guests are given, not what Windows takes;
# `vmio/experiments/containers/kernels.py`.) What one container can do to another is a lesson of its own, {lesson:isolate_containers}.
# %% [markdown]
# ## Explain
#
# **A queue belongs to whoever fills it.** First come, first served is fair to requests, not to guests. The guest with 64
# requests in the queue gets 64 turns (`vmio/host/scheduler.py`, class `Fifo`).
#
# **Fair means: least served for its weight comes next.** That is one line in `vmio/host/fair.py`; deficit round robin
# reaches the same with a round and a purse for each guest (`drr.py`), without sorting.
#
# **The order of what the device has taken can't be changed any more.** So the host gives it no more bytes than keep it busy
# (`window_bytes` in `vmio/host/block.py`), and lets guests take turns: every split driver in these lessons runs that way
# unless told otherwise, and a guest that is alone loses nothing by it.
#
# **mClock adds a floor and a ceiling.** Each request carries three tags - when its reservation is due, when its limit allows
# it, and its turn by weight - and the floor goes first (`mclock.py`; A. Gulati and others, OSDI 2010).
# %% [markdown]
# ## Exercises
# %% [exercise] compute-fairness
# %% [stub] compute-fairness
# %%
ex = exercise("compute-fairness")
ex.check(fairness)
# %% [exercise] write-a-fair-scheduler
# %% [stub] write-a-fair-scheduler
# %%
ex = exercise("write-a-fair-scheduler")
ex.check(pick)
# %% [exercise] keep-a-reservation
# %% [stub] keep-a-reservation
# %%
ex = exercise("keep-a-reservation")
ex.check(Scheduler)
# %% [exercise] find-the-noisy-guest
# %% [stub] find-the-noisy-guest
# %%
ex = exercise("find-the-noisy-guest")
ex.check(culprit)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** has Storage QoS (quality of service): minimum and maximum normalized IOPS (I/O operations per second) for each
#   virtual disk, in units of 8 KiB.
# - **Linux** hosts: `io.cost` and `io.latency` in cgroups, BFQ for weights; `blk-throttle` for limits.
# - **VMware** published mClock and ships it as Storage I/O Control.
# - **Firecracker** has token buckets for each device, in bytes and operations, and no weights.
#
# {lesson:store_in_a_cloud} is a lab about all of this: eight guests with recorded requests, what a provider may promise each, and a report.
#
# {neighbours}
