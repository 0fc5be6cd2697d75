raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Drive a UART (universal asynchronous receiver and transmitter, the chip of a serial port) and a disk that
# exist only in software, and read a real file system through them.
#
# **What you'll learn**
# 1. How many exits it takes to move a byte, and a sector, when each access to a register is one.
# 2. What they were invented for, counted in exits: the FIFO (first in, first out: a queue of bytes in the chip), string I/O,
#    READ MULTIPLE, and DMA (direct memory access: the device itself moves the data).
# 3. When an interrupt is cheaper than asking, and when it is not.
# 4. What a power cut leaves of data that the disk has called written, and what FLUSH costs.
#
# **What you'll need.** {lesson:trap_an_instruction}. About {minutes} minutes.
# %%
from vmio import UartDriver, disk, trace
from vmio.lab import exercise, predict
from vmio.lessons.emulate_a_device import panel as lesson
# %% [markdown]
# ## Who touches what
#
#     guest driver ── OUT 1F7h ──> hypervisor ──> worker: the disk's model ──> image file
#          ▲                                             │
#          └───────── interrupt (IRQ 14) <───────────────┘
#
# *Full emulation* imitates a real part, register by register, so that a driver written for the part works
# unmodified. Nothing in the guest knows that the part is not there. The disk speaks ATA (AT attachment: the registers of a PC's
# disk since the first PC/AT), and its interrupt comes on line 14: IRQ 14 (interrupt request).
# %% [markdown]
# ## A UART, by its data sheet
#
# The 16550A has eight ports. A driver sets the speed and the frame, then waits for "transmitter empty" and writes.
# %%
board = lesson.machine()
cpu = board.guest.cpu
cpu.outb(0x3FB, 0x80)          # LCR: the divisor latch shows at the first two ports
cpu.outb(0x3F8, 1)             # divisor 1: 115,200 baud
cpu.outb(0x3F9, 0)
cpu.outb(0x3FB, 0x03)          # LCR: 8 bits, no parity, 1 stop bit
for byte in b"hello":
    while not cpu.inb(0x3FD) & 0x20:
        pass                   # LSR: transmitter empty?
    cpu.outb(0x3F8, byte)
print(bytes(board.uart.sent), "took", cpu.exits.total, "exits")
# %% [markdown]
# ## Predict
# %%
ask = predict("thousand-bytes", "1,000 bytes, asking before each one: how many exits?", "exits")
ask
# %% [markdown]
# ## Run
# %%
board = lesson.machine()
uart = UartDriver(board.guest.cpu)
uart.init(fifo=False)
before = board.guest.cpu.exits.total
uart.write(bytes(1000))
counted = board.guest.cpu.exits.total - before
ask.compare(counted)
# %% [markdown]
# ## Compare
#
# The same text in four ways. With its FIFO on, the UART takes 16 bytes each time it says that it is empty. String I/O
# fills the FIFO in one exit. With interrupts the guest sleeps in between; that row runs at the line's real pace.
# %%
print(lesson.serial_table())
# %% [markdown]
# ## Explore the UART
#
# Set *Transmitter* to `baud` and compare `polled` with `interrupt`: at 115,200 baud a byte takes 87 us, and a guest
# that asks all the while exits some forty times for each byte.
# %%
panel = lesson.uart_panel()
print(panel.text)
panel.set(pace="baud")
print("\n" + panel.text.split("\n\n")[0])
panel.set(how="interrupt")
print("\n" + panel.text.split("\n\n")[0])
# %%
panel
# %% [markdown]
# ## A disk
#
# The image is a real ext4 file system. Its superblock is at byte 1,024; bytes 56 and 57 of it are 53h and EFh. We read
# it as a driver of 1994 would, by PIO (programmed input and output: the processor moves each word itself): six registers, the
# status, then 256 words from the data port. A sector's number is its LBA (logical block address).
# %%
image = lesson.file_system()
cpu = lesson.machine(image).guest.cpu
for port, value in ((0x1F6, 0xE0), (0x1F2, 1), (0x1F3, 2), (0x1F4, 0), (0x1F5, 0), (0x1F7, 0x20)):
    cpu.outb(port, value)      # master, LBA; one sector; LBA 2; READ SECTORS
print(f"status {cpu.inb(0x1F7):#04x}: ready, and data wait")
words = [cpu.inw(0x1F0) for _ in range(256)]
sector = b"".join(word.to_bytes(2, "little") for word in words)
blocks = int.from_bytes(sector[4:8], "little")
print(f"magic {sector[56:58].hex()}, {blocks:,} blocks of 4 KiB, {cpu.exits.total} exits")
# %% [markdown]
# ## Predict again
# %%
ask = predict("four-kilobytes", "4 KiB by 2-byte words, with an interrupt for each sector: how many exits?", "exits")
ask
# %%
ask.compare(lesson.read_once("pio", 8, "2-byte words", True, "server-2022").exits_total)
print()
print(lesson.disk_table(sectors=8))
# %% [markdown]
# A real Linux driver (`ata_piix` of Linux 6.1, with `dma=0`) makes 1,043 accesses for the same 4 KiB: 1,024 of 4
# bytes each to the data port, and 19 for commands and status. With DMA it makes 26.
# %% [markdown]
# ## Explore the disk
#
# Drag *Sectors* with each transfer. Which line falls, which does not, and where do they meet? Then choose
# `2-byte words` and look at the virtual time.
# %%
panel = lesson.disk_panel()
print(panel.text)
for transfer in ("multiple", "dma"):
    panel.set(transfer=transfer, sectors=64)
    print("\n" + panel.text.split("\n\n")[0])
# %%
panel.set(transfer="pio", sectors=8)
panel
# %% [markdown]
# ## Real requests
#
# `read_all_files.csv` holds what a Linux guest asked of this disk while it mounted it and read every file. The bytes
# must be the image's, whatever the way.
# %%
from vmio import data

requests = trace.load(data.path("traces/read_all_files.csv"))
for transfer in ("pio", "multiple", "dma"):
    result = disk.run(disk.DiskParams(transfer=transfer), requests, image)
    print(f"{transfer:9} {result.exits_total:6,} exits {result.virtual_ns / 1e6:7.1f} ms  sha256 {result.sha256[:16]}")
# %% [markdown]
# ## Pull the plug
#
# "Written" is not "kept". A disk answers a write when the data are in its *cache*, memory that forgets without power
# (IDENTIFY DEVICE, word 85, bit 5). When they go to the medium, and in which order, is the disk's own affair. Only
# FLUSH CACHE (E7h) ends when all that was written before it is there.
#
# Here is a tiny store: value *n* goes to sector *n*, then a record in sector 0 says how many values are saved.
# %%
from vmio.lessons.emulate_a_device import power


def save(cpu, ata, number, flush):
    cpu.write(power.BUFFER, power.sector(number))
    yield from ata.write(number, 1, power.BUFFER)      # the value
    if "value" in flush:
        yield from ata.flush()
    yield from ata.write(0, 1, power.BUFFER)           # the record: so many values are saved
    if "record" in flush:
        yield from ata.flush()
# %% [markdown]
# We save ten values without a flush, see every command answered without an error, and cut the power. Which of the
# sectors had reached the medium by then is decided by a seed. How many values are left? And how many with flushes?
# %%
for seed in (1, 2, 3):
    print(power.left(save, flush=(), seed=seed), end="\n\n")
print(power.left(save, flush=("value", "record"), seed=1))
# %% [markdown]
# A cut may come earlier, between two commands of one `save`. So we try all of them. Flushing the record alone keeps every
# value whose `save` has returned, but for a moment the record may be kept while its value is lost. The flush in
# between is what puts the two in order, and it is not free:
# %%
print(power.cuts_table(save))
# %% [markdown]
# SQLite does the same, by way of `fsync` and a real file system. `sqlite_commits.csv` holds its 60 transactions; we run
# them as they were recorded, and once more with the flushes left out:
# %%
requests = trace.load(data.path("traces/sqlite_commits.csv"))
for name, chosen in (("with", requests), ("without", [request for request in requests if request.op != "F"])):
    result = disk.run(disk.DiskParams(transfer="dma"), chosen, image)
    print(f"{name:7} flushes {result.requests} requests {result.exits_total:6,} exits {result.virtual_ns / 1e6:5.1f} ms")
# %% [markdown]
# ## Explain
#
# **Words were the problem, then sectors.** A sector is 256 words; by single INs that is 256 exits before the first
# command byte is counted. String I/O leaves one for each *DRQ block* (data request: what the disk has ready to be moved at a
# time), and READ MULTIPLE makes the block larger. Look at
# `vmio/devices/ata/transfer.py`: the device asks the host for a block, never for a word.
#
# **DMA takes the data out of the guest's hands.** The driver leaves a table of addresses in memory (the PRD table: physical
# region descriptors) and the device moves the data. The count no longer grows with the size: in the panel, which shows exits per sector, its line
# falls. What remains is set-up, about twenty register accesses, all of them emulated.
#
# **An interrupt is not free either.** It costs a read of the status register, which acknowledges it, and an OUT for each of the
# two interrupt controllers (EOI, end of interrupt); sleeping until it comes is a HLT (halt). Switch *Interrupts on* off: the guest asks
# until the data are there. That takes more exits, and yet the read is over sooner, for no wake-up is needed. What an interrupt
# buys is the core: while the disk works, others run. A guest that keeps asking keeps its core.
#
# **Order is something that you ask for.** Between two flushes a disk may keep any of the writes and lose any, so "first
# the value, then the record" holds only with a flush between them. All three modes have the command: FLUSH CACHE here,
# SYNCHRONIZE CACHE for the split disk of {lesson:split_a_driver}, FLUSH for the disk of
# {lesson:pass_a_device_through}. A host that answered it without passing it on would be faster, and wrong.
# %% [markdown]
# ## Exercises
# %% [exercise] send-through-a-fifo
# %% [stub] send-through-a-fifo
# %%
ex = exercise("send-through-a-fifo")
ex.check(send)
# %% [markdown]
# Your driver in the live machine: choose whose it is, and drag *Bytes*.
# %%
lesson.own_uart_panel(send)
# %% [exercise] read-with-few-exits
# %% [stub] read-with-few-exits
# %%
ex = exercise("read-with-few-exits")
ex.check(read)
# %% [markdown]
# Your driver in the live machine, and beside it the reference. At which number of sectors do they part?
# %%
lesson.own_disk_panel(read)
# %% [exercise] add-an-ata-command
# %% [stub] add-an-ata-command
# %%
ex = exercise("add-an-ata-command")
ex.check(read_native_max)
# %% [exercise] survive-a-power-cut
# %% [stub] survive-a-power-cut
# %%
ex = exercise("survive-a-power-cut")
ex.check(replace)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - A **Hyper-V** generation-1 guest boots from exactly such a disk: an emulated PIIX4 IDE controller (integrated drive
#   electronics, the older name for ATA). Once its
#   synthetic drivers are there, they take over. Generation 2 has no emulated disk at all.
# - **QEMU**'s `ide-hd` is the model that this one is compared with: recorded sequences of registers, and a live QEMU
#   driven beside it, must give the same answers (`tests/golden`, `tests/live`).
# - **Xen** guests see the same controller from QEMU until their own drivers unplug it.
# - **Firecracker** and **cloud-hypervisor** leave such devices out; there is nothing to boot that would need them.
#
# {neighbours}
