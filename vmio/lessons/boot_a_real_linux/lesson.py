raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Switch a PC on and let Debian's kernel boot on it, unmodified. Watch its console and its exits, then let the very same
# kernel read the same 64 KiB four ways: from an IDE disk (integrated drive electronics), over VMBus (the virtual machine bus), from an
# emulated NVMe disk (non-volatile memory express), from one passed through.
#
# **What you'll learn**
# 1. That an operating system that knows nothing of this course counts the same exits as its Python drivers.
# 2. Which functions of which Linux drivers exit, and what they ask for.
# 3. What a guest gains when its hypervisor answers a question before it is asked.
#
# **What you'll need.** {lesson:pass_a_device_through}. About {minutes} minutes. To boot by yourself, two things that are not part of
# this course: `pip install unicorn==2.1.4` and `python -m vmio linux get`. Without them you see what was recorded, and all the counts are the same.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.boot_a_real_linux import panel as lesson
# %%
# NBVAL_IGNORE_OUTPUT
print(lesson.where())
# %% [markdown]
# ## Who runs what
#
#     Linux, as Debian ships it: machine code                  this course: Python
#
#     ata_piix     ── IN, OUT ──────────────── exit ──────────> IDE controller, emulated
#     hv_storvsc   ── a ring in memory, VMCALL ─ exit ────────> StorVSP, the host's half
#     nvme         ── MOV to a doorbell ────── exit ──────────> NVMe controller, emulated
#     nvme         ── MOV to a doorbell ────── no exit ───────> the host's NVMe function
#
# Until now each guest was a Python program that called `cpu.outb(...)`. Here the guest is a kernel, a file of fourteen million bytes. Its processor is *Unicorn*,
# QEMU's translator as a library: it turns the guest's x86 instructions into the host's. What such a processor can't do alone - an IN,
# an OUT, a CPUID - is an exit, and goes to the very same hypervisor, devices and counters as before.
#
# Somebody must do what a PC's firmware does: put into RAM, the random-access memory, the kernel (a
# *bzImage*, a big zipped image) and an *initramfs* (an initial file system in RAM), say where RAM is (the *e820* map), and write tables that describe the
# machine (*ACPI*, the advanced configuration and power interface). `vmio/firmware/` does that.
# %% [markdown]
# ## Predict
#
# The kernel boots, finds its four disks, reads 64 KiB from each and switches the machine off. It is told to keep its messages for itself
# (`quiet`), so nearly nothing is written to the console.
# %%
ask = predict("linux-boot-exits", "How many exits does the whole boot make, the console's left out?", "exits")
ask
# %% [markdown]
# ## Run
#
# Where Linux can be booted here, the next cell boots it now, with all its messages: it takes ten to thirty seconds, and the panel below follows.
# Elsewhere the panel shows the end of the recorded boot at once. All other cells use recordings of the very same boots, for each would take as long.
# %%
print(lesson.power_on())
# %% [markdown]
# The console is expensive: a character of the kernel's messages is two exits, one to ask the serial port whether it has room, one to send. That makes
# nearly nine of ten exits of this boot. The next table is of the boot without messages.
# %%
ask.compare(lesson.boot_exits())
print()
print(lesson.boot_line("disks"))
print()
print(lesson.reasons_table())
# %% [markdown]
# Two reasons are frequent that drivers alone don't have. *CPUID*: a kernel asks hundreds of times what its processor can do, and each program that starts
# asks again. *EPT violation*, a touch of an address for which the hypervisor's extended page tables have no RAM: the registers of the local
# APIC (advanced programmable interrupt controller), the one in the processor, lie in memory; and so do those of an emulated NVMe disk.
#
# ## A boot in phases
#
# The guest's first program writes a mark onto the console when it comes to another part. *Others* are the clock chip, the keyboard controller, the timer,
# power management.
# %%
print(lesson.phases_table())
# %% [markdown]
# Two thirds of the boot's exits are over when the first program starts, and most of them are not work for disks. It is *looking for devices*: each slot of the PCI bus
# (peripheral component interconnect) is asked who is there, each IDE channel whether it has drives.
# %% [markdown]
# ## Compare: one kernel, four disks
#
# Each disk is the same image. Linux reads its first 64 KiB with `dd`, past its own cache.
# %%
ask = predict("linux-reads-vmbus", "16 reads of 4 KiB over VMBus by Linux's own hv_storvsc, one at a time: how many exits?", "exits")
ask
# %%
ask.compare(lesson.read_exits("split"))
print()
print(lesson.reads_table())
# %% [markdown]
# *Device* are accesses of the disk's own registers. *PIC*, the programmable interrupt controller, is what an interrupt by a wire costs. VMCALL
# wakes the host's half of a split driver, HLT (halt) is the guest's sleep until the disk is done. *Timer*: one tick of Linux's own clock fell into the reads of the IDE disk and one into those of the disk passed
# through, each with a wake-up from HLT. What starting `dd` costs is left out: a program of the C library asks CPUID 29 times before it begins.
#
# Below each line stands this course's own driver, run just now for the same reads: programs by different people, for the same devices. Where the
# interface leaves no choice - VMBus and NVMe - the counts are equal. On the IDE disk Linux is more careful: 26 accesses of the device for a read where ours
# makes 17, and five of the PIC for an interrupt where ours makes two.
# %%
print(lesson.reading_table("emulated"))
print()
print(lesson.reading_table("split"))
# %%
print(lesson.reading_table("nvme"))
print()
print(lesson.reading_table("passthrough"))
# %% [markdown]
# ## The guest counts, too
#
# Linux keeps its own count of interrupts, in /proc/interrupts. Here it stands beside how often our hypervisor has delivered that vector. (The serial port
# interrupts while the table itself is printed.)
# %%
print(lesson.interrupts_table())
# %% [markdown]
# ## Which instruction was it?
#
# At each exit the processor's instruction pointer says where the guest is. Linux itself says whose address that is (/proc/kallsyms; a kernel with
# debugging symbols has them in a file called System.map). These ten functions exit most.
# %%
print(lesson.functions_table())
print()
print(f"in programs, outside the kernel: {lesson.programs_exits():,} exits")
# %% [markdown]
# Drivers call small helpers, such as `ioread8`, that hold the instruction. Who has called them stands on the guest's stack: here are the functions of the
# IDE drivers.
# %%
print(lesson.callers_table("ata", "bus master"))
# %% [markdown]
# ## Turn one thing off
#
# - *The clock page.* Hyper-V shows each guest a page with two numbers, from which it can compute the time by itself. Without it the guest
#   reads an MSR, a model-specific register of the processor.
# - *Messages.* A PCI device interrupts by a store to the local APIC (MSI, a message-signalled interrupt), or by a wire to the PIC, which must be
#   asked and told: five exits per interrupt.
# - *DMA* (direct memory access). By PIO (programmed input and output) the processor itself moves the data of the IDE disk, with a string
#   instruction for each sector.
# %%
print(lesson.switches_table())
# %% [markdown]
# ## Explore: any moment of a boot
#
# Move the slider from power-on to power-off: the console as it was at that moment, and all exits so far.
# %%
panel = lesson.panel()
for boot in ("quiet", "PC of 1996"):
    panel.set(boot=boot, step=120)
    print("\n".join(panel.text.splitlines()[-10:]) + "\n")
# %%
panel.set(boot="with messages", step=60)
panel
# %% [markdown]
# Try: where does the curve stand still, and what does the console say there? How much of the boot with messages is the console's? In the boot of the
# PC of 1996, when does one device answer thousands of exits at once?
# %% [markdown]
# ## Explain
#
# **Nothing had to be changed.** The kernel has drivers for real hardware and for Hyper-V, and cannot tell our devices from those. That is what *full
# virtualization* promises, and it is a test, too: an operating system is a stricter judge than a driver by the same author as the device.
#
# **A count is a property of the interface.** A VMBus read takes two exits, one to wake the host and one to sleep, whoever wrote the driver; an emulated NVMe
# read takes three, for it has two doorbells. Where an interface leaves room, as IDE's registers do, careful drivers pay for their care.
#
# **Enlightenment is an answer in advance.** Where the hypervisor tells the guest what it is - the clock's rate, a page with the time, an interrupt
# that ends by itself - the guest stops asking. The page with the time alone saves each VMBus read about eighteen of twenty exits.
# %% [markdown]
# ## Exercises
# %% [exercise] boot-with-fewer-exits
# %% [stub] boot-with-fewer-exits
# %%
ex = exercise("boot-with-fewer-exits")
ex.check(choose)
# %% [exercise] find-the-polled-register
# %% [stub] find-the-polled-register
# %%
ex = exercise("find-the-polled-register")
ex.check(polled)
# %% [exercise] show-hyper-v
# %% [stub] show-hyper-v
# %%
ex = exercise("show-hyper-v")
ex.check(leaf)
# %% [markdown]
# The check knows Linux's rules. Linux itself can be asked, too, where it can be booted: that takes some seconds.
# %%
print(lesson.detected(leaf))
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **A terminal of its own.** `python -m vmio linux initrd shell.img`, then `python -m vmio boot --kernel .linux/6.1.0-56-cloud-amd64/vmlinuz
#   --initrd shell.img --interactive` gives a shell in the guest; its exits are told when it ends.
# - **Firecracker** starts kernels like this one, without firmware and with five devices, to have fewer exits and less to attack; it says `quiet`, too.
# - **Azure** and **Hyper-V** run this very kernel: Debian's *cloud* flavour leaves out drivers for hardware that no cloud has.
#
# {neighbours}
