raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Read the same 64 KiB from the same disk in three ways, and see the number that this course is about
# fall by three orders of magnitude.
#
# **What you'll learn**
# 1. What a VM exit is, and that everything here is counted.
# 2. The three ways for a guest to reach a device.
# 3. Where to go from here.
#
# **What you'll need.** Nothing but {minutes} minutes. Shift-Enter runs a cell and goes to the next; *Run > Run All Cells* runs
# them all.
# %%
from vmio.lessons.start_here import panel as lesson
from vmio.lab import predict
# %% [markdown]
# ## Who touches what
#
#     emulated      guest ── every register access ──> hypervisor ──> software ──> disk
#     split         guest ── shared memory, one doorbell ──> host's half ───────> disk
#     passthrough   guest ── its own driver, the real registers ────────────────> disk
#
# A *guest* is an operating system that believes it has a computer of its own. A *hypervisor* makes it believe; the *host*
# is the system that owns the real devices. Whenever the guest does something that only the hypervisor can finish, the
# processor stops it: a **VM exit** (VM is short for *virtual machine*, the guest's computer). Each costs a microsecond or so,
# a thousand times as much as an instruction.
# %% [markdown]
# ## Predict
#
# The guest's driver reads 4 KiB from an emulated disk, two bytes at a time.
# %%
ask = predict("first-guess", "How many times does the hypervisor have to step in?", "exits per read")
ask
# %% [markdown]
# ## Run
# %%
one = lesson.run("emulated")
ask.compare(one.exits_total // one.requests)
print()
print(lesson.modes_table())
# %% [markdown]
# ## Compare
#
# The same bytes each time: the last column is their checksum. What differs is who had to step in, and how often. 4 KiB are
# 2,048 words of two bytes, and nearly every exit moved one of them.
#
# The times are **virtual time**, in microseconds (us): the model's own clock. It moves by what each instruction, exit and
# device costs according to published measurements, not by how fast this computer is, so everybody sees the same times.
# %% [markdown]
# ## Explore
#
# The drawing is the machine. Arrows that this mode uses are lit, and dots run along them when a count changes. The small
# squares are the guests' *canaries*: each guest keeps a secret in its memory, and a tick says that nobody has touched it.
# The bars below say why the guests were stopped, and where their time went: into their own work, into exits, into reads that
# the device was busy with, and into waiting for a core or a wake-up.
#
# 1. Choose *split*, then *passthrough*. Which arrow takes over from *to the worker*?
# 2. Drag *Bytes per read*. In which modes does it hardly matter?
# 3. Choose *split* and drag *In flight*. What falls, and what rises in the rings?
# 4. Add guests. Are all canaries alive? Where does the time of four guests go that share two cores?
#
# All of it works without a mouse: Tab goes to a control, arrow keys move a slider, Space presses a button.
# %%
panel = lesson.panel()
texts = []
for settings in (dict(), dict(mode="split"), dict(queue_depth=16), dict(mode="passthrough"), dict(guests=4)):
    panel.set(**settings)
    texts.append(panel.text.split("\n\n")[0])
print("\n\n".join(texts))
# %%
panel.set(mode="emulated", queue_depth=1, guests=1)
panel
# %% [markdown]
# ## Explain
#
# **Emulated**: every word is an exit, so the size of the read decides. **Split**: a read costs two exits, however large it is,
# and reads that are in flight together share them. **Passthrough**: one exit per read is left, the guest's going to sleep.
#
# Nothing here is drawn from a formula. A driver runs, instruction by instruction, on a machine of a few thousand lines that
# you can read; the next lessons open it.
# %% [quiz]
# %% [markdown]
# ## The course
#
# {map}
#
# {lesson:trap_an_instruction} to {lesson:pass_a_device_through} build on each other. After them the others may be taken in
# any order; the appendix says where all prices come from. Every abbreviation is spelled out in the
# [glossary](glossary.ipynb); its first use in a lesson leads there.
#
# {neighbours}
