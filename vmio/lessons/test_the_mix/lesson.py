raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Run a test environment: guests of 1995 to today, a real Linux among them, on hosts of several generations, each pair a run of its own. Find out who runs, who is refused, who breaks,
# and read in the run itself why. Then let the hosts lie.
#
# **What you'll learn**
# 1. How a guest and a host that were built ten years apart find a common language, without a table of who fits whom.
# 2. What makes the difference between a driver that is refused, one that falls back, and one that breaks.
# 3. What it costs to be old: exits of a read and of a packet, from 1,065 to 1.
#
# **What you'll need.** {lesson:boot_a_real_linux} and {lesson:move_packets}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.test_the_mix import panel as lesson
# %% [markdown]
# ## Eight guests, five hosts
#
# Whoever tests software for virtual machines has many guests and many hosts, and asks the same of each pair: does it run? Ours are guests of eight kinds. Each has a list of drivers for a disk and one for a
# network card, and tries them in that order, until one comes up:
# %%
print(lesson.guests_table())
# %% [markdown]
# You know all of these drivers. PIO (programmed input and output) and DMA (direct memory access) are the two ways to an IDE disk (integrated drive electronics) of {lesson:emulate_a_device}; StorVSC (storage
# virtualization service client) is the split one, over VMBus (virtual machine bus), and the disk that speaks NVMe (non-volatile memory express) is passed through. Tulip, NetVSC (network virtualization service client) and the VF (virtual function) are the
# cards of {lesson:move_packets}. *DMA if offered* is a careful driver: it asks the disk by PIO what it can, and then chooses.
#
# The last column is a guest's list of wishes. VMBus has versions, and its newer ones have more messages. *isolated* is a guest that doesn't trust its host, as in confidential computing: it
# takes no version before 5.2. (Linux does the same; how such a guest's memory is protected is no part of this lab.) *gen 2* is a machine of Hyper-V's second generation, which has no emulated disk or card at all.
# *virtio* is a guest from another world: it has drivers for the open standard of {lesson:speak_virtio}, virtio-blk for a disk and virtio-net for a card, and no others.
#
# And the hosts:
# %%
print(lesson.hosts_table())
# %% [markdown]
# The ninth guest is not one of ours: it is an unmodified Linux 6.1, the one of {lesson:boot_a_real_linux}, on a machine that offers and speaks what these hosts do. A boot takes a processor some fifteen seconds, so its row
# is shown as it was recorded. Further down it tells in its own words why a driver did not come up, and you can boot it yourself.
#
# Before VMBus 2.4 a channel had no interrupt of its own, and host and guest shared a page of bits instead. Our bus begins with 2.4, as that of today's Linux does, so no host here speaks what the guest of 2008 was shipped with.
# %% [markdown]
# ## Predict
#
# A guest in today's cloud has the longest lists: eight versions of VMBus, and six of the network's protocol (6.1, 6, 5, 4, 2, 1). It meets the host of 2012, which speaks 2.4 alone, and of the network's protocol 4, 2 and 1.
# %%
ask = predict("how-often-asked", "How many questions must the guest ask until both are agreed on?", "questions")
ask
# %% [markdown]
# The last host has dropped its legacy devices, and all that is older than VMBus 5.0.
# %%
lost = predict("guests-turned-away", "How many of the eight guests does it refuse?", "guests")
lost
# %% [markdown]
# ## Run
#
# Each cell of the matrix is a machine of its own: the host plugs in what it offers, the guest looks for what it knows. The disk that comes up is read and its bytes are compared, the card sends pings. The cells know
# nothing of each other, so all cores of your computer work on them. Beside the honest host there are five that lie; to these we come later.
# %%
print(lesson.sweep_table())
# %% [markdown]
# Here are the 45 cells of the honest hosts; the last row is the real Linux:
# %%
print(lesson.matrix_table())
# %% [markdown]
# - **passes**: the first driver of each list came up, and works.
# - **falls back**: another one of the list did.
# - **refused**: none did, and each has said why. Nothing was read or written.
# - **breaks**: a driver came up, and then something went wrong.
# %% [markdown]
# ## Compare
# %%
ask.compare(lesson.contacts(lesson.guest("2020 cloud"), lesson.host("2012")))
print()
print(lesson.conversation("2020 cloud", "2012"))
# %% [markdown]
# The guest asks for its best version and hears no, asks for the next and hears no, down to the last of its list. The host never says what it speaks; it only agrees or doesn't. When the bus is agreed on, each device's
# protocol begins in the same way: storage and network have versions of their own. (A no is cheap: bus and disk cost this guest 80 exits to set up, and 62 if each first wish is granted.)
# %%
lost.compare(lesson.turned_away(lesson.host("legacy gone")))
print()
print(lesson.reason_table("refused"))
# %% [markdown]
# Each guest was told in one sentence. Look at the two kinds of reasons: the old guests found *nothing where they looked* (a port that answers with ones, a bus of 32 empty slots), the others found a host and *no version in common*.
# The isolated guest is refused for the opposite reason: it is too new for the old hosts, and it has no older driver, because it doesn't want one.
# And the virtio guest finds 32 slots without its device on every one of these hosts: what it speaks, none of them offers.
#
# Now those that fall back, and the one that breaks:
# %%
print(lesson.reason_table("falls back"))
print()
print(lesson.reason_table("breaks"))
# %% [markdown]
# The guest of 2000 uses DMA whatever the disk says of itself. On the emulator's disk, which has none, its driver *comes up*: the disk is there and tells its name. Only the first read ends with an error (bit 2 of the
# error register: command aborted). The guests of 2008 and 2012 meet the same disk and read it by PIO, because their driver looks at one bit of the disk's answer to IDENTIFY first.
# %% [markdown]
# ## A real Linux
#
# On each of these hosts the same kernel was booted, with the same five modules (drivers that are loaded later). Linux loads all of its drivers, and each looks for its device; the program that then runs takes the best disk that
# has come up. The versions are those that arrived at the host, question by question:
# %%
print(lesson.linux_row())
print()
print(lesson.conversation("Linux 6.1", "2012"))
# %% [markdown]
# It negotiates as our *2020 cloud* does, down to the last version of its list. One thing is different: on the emulator it is refused. Debian builds this kernel for clouds, and left the driver of the old
# network card out; the disk comes up, by PIO. Linux says why a driver did not come up. What it does not say, its own lists of devices do (the number of the card is read there):
# %%
print(lesson.linux_words())
# %% [markdown]
# Can Linux be booted here? If so, name one host or several between the brackets of the second cell: then it boots, on all cores of your computer, and its cells in the matrix are from now on those of your boots.
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.where())
# %%
print(lesson.boot_linux())
# %% [markdown]
# ## What it costs to be old
# %%
print(lesson.cost_table())
# %% [markdown]
# *At the device* are exits that the device's own registers had; the rest are the interrupt controller's and HLT (halt). So the same read of 4 KiB costs 1,065 exits, or 20, or 2, or 1, depending on what guest and host found in common.
#
# Are these our drivers' numbers only? The row of Linux says no. Here is what it did on one machine that has all disks, recorded as in {lesson:boot_a_real_linux}, and on another emulator, QEMU (quick emulator), counted by QEMU's own trace:
# %%
print(lesson.linux_table())
# %% [markdown]
# The accesses of the disk are the same on our machine and on QEMU, to the last one: they are Linux's own. Its `REP INS` moves 128 times 4 bytes in one exit, which is why its PIO needs so few *exits*: our guest of 1995 uses single INs. The exits are all that
# there were while 16 blocks were read, also those that the program `dd` needs to start (29 CPUIDs, for one).
# %% [markdown]
# ## Where virtio is served
#
# Hyper-V offers no virtio device, so the virtio guest's row says *refused* from one end to the other. That is no fault of the guest. Here are the same eight guests on a host of another make, with what QEMU and KVM (kernel-based virtual
# machine) offer: a PC's old devices, and virtio in place of VMBus. Each line is a run, as each cell is:
# %%
print(lesson.kvm_table())
# %% [markdown]
# The virtio guest passes, and is about as cheap as a split driver on VMBus: a kick and a HLT. The guests of 1995 and 2000 notice no difference, for they never asked who the host is. Those of 2008 and 2012 read the hypervisor's
# name, find that it is *not Hyper-V's interface*, and fall back. The three others have nothing to fall back on. So no guest here runs on every host: not even the newest one.
# %% [markdown]
# ## Explore
#
# Click on a cell, or choose *Guest* and *Host*. The readout says which driver came up, what it costs, and what was said about versions; the figure compares what a read costs this guest on all hosts on which it works.
#
# 1. Stay in the row of 2012 and go from host to host. What changes with the version, and what does not?
# 2. Take the guest *2020 cloud* and go left. It loses something at each step. What?
# 3. Let *The host lies about* its sections, and look for the guests that notice nothing.
# %%
panel = lesson.panel()
for settings in (dict(guest="2012", on_host="2012"), dict(on_host="legacy gone"), dict(guest="2020 cloud", on_host="2016"), dict(guest="2000", on_host="emulator")):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(guest="2013 gen 2", on_host="2022", lie="none")
panel
# %% [markdown]
# ## Hosts that lie
#
# A guest must not believe all that it is told either: a host may be broken, or in the wrong hands. Each of our five liars changes one answer. Beside the guest runs another one, to whom the host tells the truth: is it still served?
# %%
print(lesson.lies_table())
# %% [markdown]
# Four of the five are found out at once. One by the hypervisor, which knows no such connection; three by a check of one line in the driver: is the version that you agree to the one that I asked for? Can a request move at least a page? Do so many
# sections fit into my buffer? The fifth, a disk that says it is twice as large, can't be found out by looking: the guest learns it when it reads where nothing is. It is a lie that breaks.
#
# Not every guest is told every lie. Before version 5.0 a host doesn't say where to post messages, so the first lie never reaches a guest of 2012:
# %%
print(lesson.matrix_table("connection"))
# %% [markdown]
# And the real Linux? It is told the same lies, on the host of 2016, which has no function to give away:
# %%
print(lesson.linux_lies("2016"))
# %% [markdown]
# It finds out what our careful drivers find out, and believes what they believe. *-22* is its *invalid argument*: its disk driver looked at the answer, gave up, and the IDE disk came up in its place. The first lie never
# reaches it here, for this host is older than 5.0. On the host of 2022 it ends with `hv_vmbus: Unable to request offers - -11`, its *try again*, said after many tries; choose that cell in the panel.
# %% [markdown]
# ## Explain
#
# **Who negotiates needs no table.** `vmio/experiments/mix_kinds.py` lists what each side has, and nothing in the lab decides who fits whom. That is decided in three loops: `vmio/drivers/vmbus.py` (method `connect`),
# `vmio/drivers/storvsc_start.py` and `vmio/drivers/netvsc_start.py` (`negotiate`). A test of the lab works out what must come of any two lists, and compares.
#
# **A driver that comes up ends the search.** Falling back works only between drivers that know when they don't fit. It is why operating systems ask a device for its features first, and why a device that says *yes* too easily does more harm than one that is not there.
#
# **Refused is a good answer.** It comes before any data, it costs a few exits, and it says what to change. A test environment should count it as a success of the guest.
# %% [markdown]
# ## Exercises
# %% [exercise] agree-on-a-version
# %% [stub] agree-on-a-version
# %%
ex = exercise("agree-on-a-version")
ex.check(agree)
# %% [exercise] foretell-a-cell
# %% [stub] foretell-a-cell
# %%
ex = exercise("foretell-a-cell")
ex.check(verdict)
# %% [markdown]
# ## Your report
#
# You run the test environment of a company that wants to drop its legacy devices. The report has five questions; the last one is not answered by this text.
# %%
report = lesson.report()
for number, question in enumerate(report.questions, 1):
    print(f"{number}. {question}")
# %% [markdown]
# Choose the cell in the panel above that says most, write your answers between the quotes, and give the folder a name, such as `"my_report"`. Then the cell makes that folder: `report.md`, each table as a file of comma-separated values, each figure
# as a picture. For question 5 make a host of your own, `lesson.host("2022", bus=["6.0", ...])`, and let `lesson.turned_away` count.
# %%
report.panel("The cell that says most", panel)
for number, answer in enumerate(("", "", "", "", ""), 1):
    report.answer(number, answer)
print(report.save(""))
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** has generation 1 and 2 for exactly this: the first has the devices of a PC and can start anything, the second gave them up. Which versions of VMBus go with which Windows is listed in Linux's `include/linux/hyperv.h`.
# - **Linux** dropped the versions before 2.4 when the hosts that spoke nothing else were out of support: then it was the guest that turned the host away.
# - **QEMU** keeps the old behaviour of its devices under the names of *machine types*, such as `pc-i440fx-2.0`, so that a guest finds the same machine after its host was renewed.
# - **virtio** negotiates by bits instead of versions: the device offers features, the driver takes those that it knows, and says so.
# - Real test environments run such a matrix each night, and what they report is what you have seen: a word for each cell, and one sentence for each that is not *passes*.
#
# {neighbours}
