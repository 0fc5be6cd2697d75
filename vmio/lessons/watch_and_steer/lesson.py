raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Watch a host with six guests, one of which has a fault. Find it in the numbers that an administrator sees. Then let a controller decide what the
# host does, and find out why a good idea can make things worse.
#
# **What you'll learn**
# 1. Which counters Linux, its KVM (kernel-based virtual machine) and Hyper-V show, and what each of them says.
# 2. How a rule and a change detector find a fault, and how often they are wrong.
# 3. What a closed loop is, and why one that reacts to old numbers swings.
# 4. What to do with a controller that answers nonsense.
# 5. What changes with many hosts: where guests go, and how a host is emptied.
#
# **What you'll need.** {lesson:fill_a_ring}, {lesson:share_a_device}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.watch_and_steer import fleet, panel as lesson
# %% [markdown]
# ## A host at work
#
# Six guests run on a host with eight cores. Nothing here was written down by hand: every number is read from the machine while it runs.
#
# | guest | what it has | what it does |
# |---|---|---|
# | web | two virtual processors (vCPUs), a split disk with a channel for each | small reads, all the time |
# | db | a split disk | small reads in bursts of 40 |
# | batch | a split disk; the host cannot see its memory, so all data is copied by way of a *bounce pool*, which it can | a large read now and then |
# | shop | a disk of its own, passed through | small reads |
# | mail | a split network card, and a *virtual function* beside it: a part of the host's real card that is the guest's own | answers frames |
# | cache | a split disk, and a *balloon*, by which the host can take and give memory | small reads |
#
# The four split disks are parts of one physical disk. This is what `vmio top` shows of the last millisecond of 16:
# %%
print(lesson.top_table())
# %% [markdown]
# *Signals* are a guest's calls to wake the host, *interrupts* what wakes the guest, *ring full* are writes for which the ring had no room. *Mean us* is how long a request takes as the guest's
# program feels it.
#
# On a Linux host you would ask KVM. `perf kvm stat` writes each exit down, from leaving the guest to coming back to it:
# %%
print(lesson.perf_table().strip("\n"))
# %% [markdown]
# HLT takes nearly all the time, because a guest that halts is asleep until something wakes it. That is no cost. Look at the number of samples, not at the time.
#
# ## Signals have reasons
#
# Inside a Linux guest each channel of VMBus (the virtual machine bus) has a directory in `/sys/bus/vmbus/devices`. `events` are the signals that the guest has sent. There are two good reasons for one: the ring was empty before
# (`intr_out_empty`), so the host may be asleep; or the host waits for room in a ring that was full (`intr_in_full`). Three drivers of db:
# %%
print(lesson.signals_table())
# %% [markdown]
# `events` less both reasons should be 0. A driver that signals always pays an exit for each request, and the host was awake anyway. And a write that met a full ring says: the ring is too small
# for these bursts.
#
# ## Predict
#
# *Pressure stall information* (PSI) says which part of the time somebody could not go on because a resource was missing. Linux looks every two seconds. It mixes what it saw into averages that forget: over 10, over 60 and over
# 300 seconds. From now on somebody waits for memory half of the time.
# %%
ask = predict("pressure", "What does avg10, the average over 10 seconds, show after 12 seconds?", "percent")
ask
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.pressure_after(6))
print()
print(lesson.pressure_table())
# %% [markdown]
# ## Compare
#
# After 12 seconds the average over 10 seconds has not come to 50. It forgets old values slowly: each look keeps 82 percent of what was there. So an alarm on `avg10` comes late, but one short stall does not set it off. Every detector
# has to choose between these two.
#
# ## What is wrong with this machine?
#
# One guest has a fault that begins at some time, or none has one. A *rule* compares a number with a limit that somebody knows: a full ring is never good. Where nobody knows the limit, a *change detector*
# learns from the first milliseconds what is usual. CUSUM (cumulative sum, Page 1954) adds up what each value is above that; small changes that stay become large in the sum, and those that go again are forgotten.
# %%
print(lesson.rules_table("noisy", 4))
print()
print(lesson.rules_table("none", 5))
# %% [markdown]
# How good are they? Each seed chooses a fault, how bad it is and when it begins. `python -m vmio diagnose --seeds 100` runs a hundred; here are six:
# %%
print(lesson.trial_table())
# %% [markdown]
# A *false alarm* is worse than it looks. If one of a thousand hosts has a fault and one of a hundred healthy ones sets off an alarm, ten of eleven alarms are false.
#
# ## Explore
#
# Six cases wait. For each, look at one output after the other, then say what it is, and only then switch on *What the rules say*.
#
# - Case A: whose requests take longer? What else of that guest has changed?
# - Case B: four guests are slow. Who is not the victim?
# - Case D: nobody waits longer. Which output says that something was lost all the same?
# - Case F: compare both outputs of interrupts.
# %%
panel = lesson.panel()
for settings in (dict(), dict(output="writes that met a full ring"), dict(case="B", output="KiB of the shared disk"), dict(case="C", answer=True)):
    panel.set(**settings)
    panel.finish()
    print(panel.text + "\n")
# %%
panel.set(case="A", output="us of a request", answer=False)
panel
# %% [markdown]
# ## Who decides?
#
# Case B is a noisy neighbour, and the host has a cure: a limit for batch. But which? Too low, and the disk is idle; too high, and the others wait. So let the host look, decide and act, again and
# again: a *closed loop*. Every millisecond it sees how long the victim's reads took, and sets the bully's limit in MB/s. The disk gives 2,000 MB/s, and the bully comes at 8 ms.
#
# | controller | a read took longer than the target | else |
# |---|---|---|
# | static | nothing | nothing |
# | hysteresis (two limits) | 150 MB/s less | 150 more, but only below half the target |
# | AIMD (additive increase, multiplicative decrease) | half | 150 more |
# | proportional | less by half of what is missing, in parts of the target | more by the same rule |
# | hill climb | down | on in the direction in which it got better; after each turn with smaller steps |
# | hasty | the least | the most |
# %%
ask = predict("hasty-kept", "In how many of 100 looks does hasty keep a target of 120 us, with numbers that are fresh?", "of 100 looks")
ask
# %%
ask.compare(lesson.kept())
print()
print(lesson.controllers_table())
# %% [markdown]
# Hasty swings between its two ends until the host switches it off. The others keep the target more often, and each pays with something: static wastes half of the disk, AIMD changes
# the limit in every look. With numbers that are three looks old all but the two that hardly move get worse: each reacts to what it did three looks ago, a second and a third time.
#
# ## A controller is somebody's code
#
# It may raise an error, answer what is no number, or never come to rest. Then it is switched off with a sentence, the limit is what it was at first, and the guests run on:
# %%
print(lesson.bad_table())
# %% [markdown]
# ## Explore
#
# - With *AIMD*, raise *Delay* from 0 to 4. What happens to the time from swing to swing?
# - Set *hysteresis* and a target of 250. Why does it move now?
# - Which controller settles with a target of 150, and at which limit?
# %%
panel = lesson.steer_panel()
for settings in (dict(), dict(controller="hasty"), dict(controller="AIMD", delay=3), dict(controller="hysteresis", target=250, delay=0)):
    panel.set(**settings)
    panel.finish()
    print(panel.text + "\n")
# %%
panel.set(controller="AIMD", target=120, delay=0)
panel
# %% [markdown]
# ## The same loop everywhere
#
# A host has more to decide than one limit. Here are four loops on the host with the six guests, each with the fault that it is a cure for. All have one shape. *Observe*: what the monitor has counted in the last millisecond. *Decide*: a controller,
# with a guard before it. *Act*: one thing that the host, or the guest's administrator, sets. All guests go on meanwhile. For comparison the last loop is run again with a bad controller, which has one threshold in place of two:
# %%
print(lesson.loops_table())
# %% [markdown]
# *Kept* is the part of the windows since the fault began in which the objective was kept, *settled after* the number of windows until it was kept for good. *In proportion* sets what would be right if the one grew as the other. *DIM* (dynamic
# interrupt moderation) is a climb: Linux's network drivers decide so how long a card holds its interrupts back. *Two thresholds* give mail its function when many frames come, and take it when there are few for some time.
# With one threshold it comes and goes, and each change costs frames that wait. `python -m vmio steer --list` shows all loops, `python -m vmio steer limit --windows-of own` each window of a run.
# %% [markdown]
# ## One that learns
#
# A *bandit* has eight limits to choose from. In training it tries them, and remembers what each has brought: MB/s of the bully while the target was kept, else nothing. Then it takes what was best. Here are all of them on
# seeds that none has seen. *Best constant* knows these seeds; no controller can be sure to be better.
# %%
print(lesson.contest_table())
# %% [markdown]
# The bandit wins: nothing changes here, so it has learned the one right answer and rests. Now the same bandit on a disk that gives 1,200 MB/s:
# %%
print(lesson.contest_table(elsewhere=True))
# %% [markdown]
# It goes on with what was right elsewhere, and keeps almost nothing. The simple rules know less, but they look. Who learns must notice that the world is another one.
# %% [markdown]
# ## Many hosts
#
# A cloud has thousands of hosts. To count each byte on each of them would take days, so `vmio fleet` works with a *model*: a host is a curve. The machine that you know ran with some guests and rates. From what it counted comes a
# formula for how busy the host's two cores are, and how long a read takes. Is it right? It was not shown these points, in guests times reads a second:
# %%
print(fleet.points_table())
print(fleet.again())
# %% [markdown]
# Everything below is as wrong as this column, and more: 24 reads of each guest are few, so the time of a read also has luck in it. And the model leaves things out: networks, the programs' own work, guests that come and go during the day, hosts that break.
#
# 40 hosts with 192 GiB each stand in four racks, and there are 800 guests. Of ten services, on average, four have guests with 2 GiB, three with 7, two with 15 and one with 30. Each service has three *replicas*: guests that do the same, so that one may be lost.
# *First fit* puts a guest on the first host that has room.
# %%
ask = predict("hosts-used", "How many of the 40 hosts have guests, with first fit?", "hosts")
ask
# %%
ask.compare(fleet.used())
print()
print(fleet.policies_table())
# %% [markdown]
# *Best fit* takes the host with the least room that is enough, *spread* the rack that has the fewest replicas of the same service, *least loaded* the host whose guests ask for the fewest reads. *Busiest* is the host that needs most, in percent of its cores:
# above 100 it can't do it. *Hours over 90 %* are hours of a host in which Microsoft calls it overloaded. *Lost with a rack* are services that lose most of their replicas when the worst rack fails.
#
# First fit leaves five hosts that could be switched off. It pays with a host that is too busy, and with 99 services that a single rack takes down. No policy is best; somebody has to say what counts.
#
# ## Empty a host
#
# At one o'clock two hosts must be emptied, for an update. The fullest ones go, and their guests move while they run ({lesson:move_a_running_guest}), one at a time over each host's link. *No room*: guests that had to stay. So operators keep a *reserve*:
# N hosts carry the load, and one or two more are kept free (N+1, N+2). Here with 840 guests:
# %%
print(fleet.reserve_table())
# %% [markdown]
# With spread all hosts are in use, and the room that is left lies in small pieces. Two guests of 30 GiB fit into none of them. With two hosts in reserve nobody has to stay, but fewer guests were taken in the first place. That is what a reserve costs.
#
# How guests reach their disks decides how many hosts a cloud needs. The same guests, by first fit, in three modes:
# %%
print(fleet.modes_table())
# %% [markdown]
# ## Explain
#
# **A number needs a neighbour.** 120 signals are many or few, depending on the requests beside them. So read counters in pairs: signals and their reasons, requests and their time, one vCPU's interrupts and the other's.
#
# **The victim is not the cause.** In case B four guests are slow, and nothing is wrong with any of them. The time of a request says that somebody suffers. Who moves the bytes, or takes the interrupts, says why.
#
# **A loop is made of three delays:** how old a number is, how long one waits between two looks, and how long it takes until a change can be seen. Act in smaller steps than what they add up to allows, or do nothing in a band.
#
# Where it is: the monitor in `vmio/manage/monitor/monitor.py`, the rules in `vmio/manage/diagnose/rules.py`, the controllers in `vmio/manage/steer/controllers.py`, the hosts in `vmio/manage/fleet/`.
# %% [markdown]
# ## Exercises
# %% [exercise] name-the-cause
# %% [stub] name-the-cause
# %%
ex = exercise("name-the-cause")
ex.check(name_the_cause)
# %% [exercise] keep-an-objective
# %% [stub] keep-an-objective
# %%
ex = exercise("keep-an-objective")
ex.check(controller)
# %% [exercise] find-the-swing
# %% [stub] find-the-swing
# %%
ex = exercise("find-the-swing")
ex.check(swing)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - `perf kvm stat record` and `kvm_stat` on a KVM host, `/proc/pressure/*` and `/sys/bus/vmbus` in a Linux guest, Performance Monitor on Hyper-V. `vmio top --view` shows all of them for this host, and `vmio top --serve 9100` answers
#   a Prometheus server on your machine.
# - Microsoft's limits are a rule base of this kind: a host whose logical processors are busy for more than 90 percent, a disk that takes more than 50 ms.
# - KVM's halt polling is a closed loop in each vCPU: the time that the host waits before it gives a core away grows and shrinks with what comes of it. Case E shows one that cannot shrink.
# - `vmio fleet --hosts 2000 --evacuate 5 --compare` places guests on as many hosts as you like, and `vmio fleet --calibrate` asks the machine again.
# - Change one thing at a time, wait until its effect can be seen, and keep the old setting: an administrator is a controller with a delay, too.
#
# {neighbours}
