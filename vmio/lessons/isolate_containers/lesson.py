raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Start up to 64 containers from one disk image, on one kernel and on a kernel each, and count where the host's memory goes. Read the tables that say who shares which page. Then let one container turn hostile.
#
# **What you'll learn**
# 1. What lies between two containers, and what a kernel of their own adds.
# 2. Why many kernels can do with one copy of the files, and what that copy costs.
# 3. Which wall stops a container that has taken over its kernel.
#
# **What you'll need.** {lesson:share_a_device} and {lesson:break_isolation}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.isolate_containers import panel as lesson
# %% [markdown]
# ## One kernel or many
#
#     process isolation            Hyper-V isolation
#
#     container  container         container   container
#     ────────────────────         kernel      kernel        each in a utility guest
#            kernel                ──────────────────────
#                                         host
#
# A *container* is a program with its files, packed so that it runs the same everywhere. With *process isolation* many containers run on one kernel, and the kernel's own checks keep them apart. With *Hyper-V isolation* each has a small virtual
# machine of its own, a *utility guest*, with a kernel of its own.
#
# The files come in *layers*. Below lies a *base layer*, the files of a whole system. Thousands of containers have the same one, and nobody may change it: it is known by its *digest*, a checksum of all its bytes (here SHA-256, secure hash algorithm, 256 bits).
# On top lies the container's own *scratch disk*. What it writes goes there, up to a quota, and when it stops the scratch disk is thrown away.
#
# How does a kernel of its own get at the base layer? Here are two ways:
#
# - **SCSI** (small computer system interface), as a disk. The guest's driver, StorVSC (storage virtualization service client), asks, the host's, StorVSP (storage virtualization service provider), reads, and the kernel keeps in its
#   RAM (random-access memory) what it has read.
# - **VPMem** (virtual persistent memory), as memory. The host reads a page of the layer into its own memory once, and puts this very page into the second-level table of each guest, read-only. A file system that is mounted
#   with **DAX** (direct access) hands these pages to programs, and keeps no copy.
#
# Our base layer is a real file system of 32 MiB (mebibytes) with the licence texts of Debian. A start is what a real Linux asked of this disk, recorded, while it mounted it and read all files: 46 reads of 155 different pages, and some writes.
# %% [markdown]
# ## Predict
#
# 16 containers start, each with a kernel of its own. First, the base layer is a SCSI disk.
# %%
copies = predict("layer-copies", "How many pages of the host's memory hold pieces of the layer then?", "pages")
copies
# %% [markdown]
# Now the layer comes by VPMem, and the host has each page once. Remember how a page gets into a second-level table: at its first touch.
# %%
touches = predict("layer-touches", "How many exits do the first touches of the layer make, in all 16 guests?", "exits")
touches
# %% [markdown]
# ## Run
# %%
copies.compare(lesson.layer_pages())
touches.compare(lesson.first_touches())
# %% [markdown]
# By SCSI each kernel has a copy of its own: 16 times 155 pages. By VPMem the memory is shared, but the tables are not. Each guest touches each page for the first time once, and that is an exit. After it, nothing exits.
# %% [markdown]
# ## Compare
#
# 1, 8 and 64 containers. *Layer pages* and *all pages* are the host's, each counted once. *KiB each* is all of them, for one container.
# %%
print(lesson.density_table())
# %% [markdown]
# - **One kernel** has everything once, and each further container adds only what it writes itself. Nothing is denser.
# - **A kernel each, by SCSI.** Everything is there 64 times, and has been read from the host's disk 64 times.
# - **A kernel each, by VPMem.** The layer is there once, in 155 pages. What remains for each guest are its drivers, its tables and its container's own memory.
# - VPMem saves requests, too. The 20 of a start that are left go to the scratch disk. The first container pays: it alone waits for the host's disk, page by page, where SCSI asks for up to 32 pages at once.
#
# The kernels here are little more than drivers. A real kernel needs tens of MiB for itself, which no layer saves: for Windows Server 2016 Microsoft named 40 MB for a small container that is process-isolated, and 130 MB with Hyper-V isolation.
# %% [markdown]
# ## Explore
#
# Which part of the memory grows with the number of containers, and which one doesn't? When does it no longer matter how the layer comes?
# %%
panel = lesson.panel()
print(panel.text)
panel.set(isolation="hyperv", layer="scsi")
print("\n" + panel.text)
# %%
panel.set(layer="vpmem", containers=8)
panel
# %% [markdown]
# ## Explain
#
# **Who shares which frame.** A *frame* is a page of the host's real memory. Three guests have started; here is one page of a file, and one page of the container's own memory. First the layer by VPMem, then by SCSI:
# %%
print(lesson.entries_table("vpmem"))
print()
print(lesson.entries_table("scsi"))
# %% [markdown]
# By VPMem all three entries name the same frame, and all say `r-x`: read and execute, but don't write. By SCSI the file is in three frames, and each guest may write into its own.
#
# **What if a guest writes?** The entry forbids it, so the processor exits. Our host then lets the guest have a fault, and counts it. The frame stays as it was, and the other guests hear nothing of it (`vmio/hypervisor/pmem.py`).
#
# A real processor does the same. On Linux a memory slot of KVM (kernel-based virtual machine) may be read-only, and several machines may have the same page of the host in such a slot:
# %%
print(lesson.kvm_table())
# %% [markdown]
# Loads don't exit, each store does and changes nothing, and what the host writes is seen by all. The host needs 4 KiB for the page, however many machines have it. (Where `/dev/kvm` can't be used, this is what was recorded.)
#
# **How a process starts.** The host must tell the utility guest what to run. Between the two is an *hvsocket*, a stream of bytes like a network connection, but over rings of VMBus (virtual machine bus). An agent in the guest listens to it: the **GCS** (guest compute service). Each
# message has a header of 16 bytes and a text in JSON, names and values in braces. Here the host adds the layer, creates a container and runs `head Apache-2.0` in it:
# %%
print(lesson.start_table())
# %% [markdown]
# Most exits come before the first message: the guest brings up its bus and its disk. Three more hvsockets carry the process's input, output and errors. The guest may be hostile, so the host believes no length and no number in a message before it has looked at it.
# %% [markdown]
# ## A hostile container
#
# One container puts secrets on its disk and into its memory. Its neighbour has taken over the kernel that it runs on. What does it reach?
# %%
print(lesson.hostile_table())
# %% [markdown]
# *Leaked* means that it has read a secret, and *changed* that its neighbour reads something else now. *Stopped* means that somebody has refused. *Only its own* means that nobody refused, for nobody else is touched. Who has stopped it:
# %%
print(lesson.walls_table())
# %% [markdown]
# - With one kernel there is one wall, the kernel's checks. Who gets behind them has everything.
# - With a kernel of its own, a container that has taken that kernel over meets the next wall: the host's disk knows no sectors but this guest's, and its second-level table has no entry for the neighbour's memory.
# - Sharing the layer is as safe as one bit in each entry. In the last column the mapping was made writable on purpose, and one container rewrites the files of all.
# %% [markdown]
# ## Exercises
# %% [exercise] count-what-fits
# %% [stub] count-what-fits
# %%
ex = exercise("count-what-fits")
ex.check(fits)
# %% [exercise] weigh-a-share
# %% [stub] weigh-a-share
# %%
ex = exercise("weigh-a-share")
ex.check(divide)
# %% [exercise] share-a-frame
# %% [stub] share-a-frame
# %%
ex = exercise("share-a-frame")
ex.check(sharers)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Windows** runs containers both ways. Linux containers on Windows always have a utility guest; its base layers come by VPMem, up to 128 of them, and as SCSI disks beyond that. Windows' own utility guests share files by a file server over VMBus, which can map the host's pages, too.
# - **Kata Containers** and **Firecracker** put a kernel under each container on Linux, over KVM. **gVisor** has a kernel in user space instead.
# - **A missing layer, or one with another digest,** is refused before anything starts (`vmio/machine/media/layer.py`). A container that writes more than its quota gets *no space left*, and its kernel goes on.
# - A start reads little. In a study of 57 images only 6.4 per cent of what was downloaded was read at the start (T. Harter and others, FAST 2016, a conference on storage).
# - *A question without an answer in the text:* two containers of different customers share the frames of a layer. Can one of them find out, from how long a first touch takes, which programs the other one has run?
#
# {neighbours}
