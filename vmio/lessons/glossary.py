"""The course's words: each abbreviation spelled out and explained; a lesson links its first use of each to this page.

`Term.lesson` is the folder of the lesson that shows the thing.  `NAMES` are words in capitals that stand for themselves:
commands, products, verdicts.  A test holds that no lesson uses a word in capitals that is neither.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FILE = "glossary.ipynb"


@dataclass(frozen=True)
class Term:
    """A word, what it stands for ("" if for itself), a sentence or two on what it is, and the lesson that shows it."""

    word: str
    stands_for: str
    text: str
    lesson: str


TERMS = tuple(Term(*row) for row in (
    ("AES", "advanced encryption standard", "The usual cipher of today: it turns 16 bytes into 16 others, by a key of 16, 24 or 32 bytes.", "keep_secrets"),
    ("AES-XTS", "", "AES as disks use it: the number of a sector goes in, so that equal sectors look different.", "keep_secrets"),
    ("AES-GCM", "", "AES with a tag: who opens a text notices every change. Each text needs a nonce of its own.", "keep_secrets"),
    ("TLS", "transport layer security", "How programs keep what they send secret and unchanged, `https` for instance: records that are encrypted, tagged and counted.", "keep_secrets"),
    ("TDISP", "TEE device interface security protocol", "How a guest binds a device to itself: the device is locked, reports how it is set up, and starts; a change after that is an error.", "keep_secrets"),
    ("LUKS", "Linux unified key setup", "A header that a disk carries: its own key, locked by passphrases.", "keep_secrets"),
    ("bounce buffer", "", "Memory that a device can reach, into which data is copied because it can't reach the place where the data is.", "keep_secrets"),
    ("nonce", "", "A number that is used once: it makes each encryption, or each start of a device, another one.", "keep_secrets"),
    ("confidential guest", "", "A guest whose memory the processor encrypts with a key that the host doesn't have.", "keep_secrets"),
    ("HMAC", "hash-based message authentication code", "A short text that only who has the key can make for a message; it shows that the message is the one that was written.", "keep_secrets"),
    ("SHA-256", "secure hash algorithm, 256 bits", "A hash: 32 bytes that stand for a text of any length; nobody knows how to find another text with the same.", "keep_secrets"),
    ("DPDK", "data plane development kit", "A library with which programs drive network cards by themselves, without the kernel, and poll them.", "speak_virtio"),
    ("event index", "", "The place in the other side's ring at which one wants to be told; it takes the place of a flag.", "speak_virtio"),
    ("indirect table", "", "Descriptors outside the ring, to which one descriptor in the ring leads: a request of many pieces then takes one place.", "speak_virtio"),
    ("vhost-user", "", "The way in which QEMU leaves a virtio device to another program: messages over a Unix socket, and the guest's memory shared.", "speak_virtio"),
    ("virtio", "", "The open standard for split drivers: how a driver finds a device, what they agree on, and what lies in memory between them.", "speak_virtio"),
    ("virtqueue", "", "What driver and device of virtio share: descriptors, a ring of chains that come, a ring of chains that go; or, packed, one ring for all.", "speak_virtio"),
    ("accelerator", "", "A device that computes something faster than the processor does, such as pictures or products of matrices.", "accelerate"),
    ("ACPI", "advanced configuration and power interface", "Tables that firmware leaves in memory: which devices and processors a PC has, "
     "and how it is switched off.", "boot_a_real_linux"),
    ("AIMD", "additive increase, multiplicative decrease", "A rule that asks for one more while all is well and for half when it is not. Those "
     "who share something by it end with equal parts.", "scan_in_parallel"),
    ("APIC", "advanced programmable interrupt controller", "The interrupt controller that each processor of a PC has. It takes the "
     "interrupts that are meant for its processor and hands them over one at a time. Newer processors virtualize it.",
     "trap_an_instruction"),
    ("ATA", "AT attachment", "The disk interface of PCs since the 1980s: eight registers, and a data port that gives two bytes at a time.",
     "emulate_a_device"),
    ("AutoEOI", "automatic end of interrupt", "A setting in which an interrupt counts as ended the moment it is handed over, so that "
     "the guest need not write EOI.", "split_a_driver"),
    ("BAR", "base address register", "A PCI device's register that says at which addresses its own registers or memory are found. "
     "People also call the memory behind it a BAR.", "pass_a_device_through"),
    ("bzImage", "big zipped image", "The file form of Linux's kernel on PCs: a small program that unpacks, and the kernel behind it, "
     "compressed.", "boot_a_real_linux"),
    ("CDB", "command descriptor block", "The 6 to 16 bytes of a SCSI command: what to do, from which block on, how many.", "split_a_driver"),
    ("CPUID", "", "The instruction that asks the processor what it can do. For a guest the hypervisor answers; it always exits.",
     "trap_an_instruction"),
    ("CUSUM", "cumulative sum", "A detector of changes: it adds up by how much values are above the usual, and sets off an alarm when the sum is large.", "watch_and_steer"),
    ("PSI", "pressure stall information", "Linux's account of the time in which somebody could not go on for want of a processor, memory or a disk.", "watch_and_steer"),
    ("CPU", "central processing unit", "The processor.", "compare_modes"),
    ("CSR", "control and status register", "What a network chip of DEC's calls its registers: the Tulip has 16 of them, numbered from 0.", "move_packets"),
    ("CSV", "comma-separated values", "A table as plain text: a line for each row, commas between its cells. Every spreadsheet reads it.", "store_in_a_cloud"),
    ("DDA", "discrete device assignment", "Hyper-V's name for passthrough: a whole PCI device is given to one guest.",
     "pass_a_device_through"),
    ("dirty log", "", "A bit for each page of a guest's memory: set by whoever writes into the page, cleared when the host reads it.", "move_a_running_guest"),
    ("DIM", "dynamic interrupt moderation", "Linux's way to choose how long a network card holds interrupts back: try, measure, keep or undo.",
     "move_packets"),
    ("DMA", "direct memory access", "A device reads and writes memory by itself, while the processor does something else.",
     "emulate_a_device"),
    ("DRQ", "data request", "The bit in an ATA disk's status that says: data may be moved now.", "emulate_a_device"),
    ("e820", "", "A PC's list of which addresses are RAM and which are not; the number was that of the firmware call that gave it.",
     "boot_a_real_linux"),
    ("EOI", "end of interrupt", "What a driver tells the interrupt controller when it has dealt with an interrupt.", "trap_an_instruction"),
    ("EPT", "extended page tables", "Intel's name for the second-level page table: from the guest's idea of an address to the real one. "
     "An address that is not in it is an exit, an EPT violation.", "trap_an_instruction"),
    ("FIFO", "first in, first out", "A queue: what came first is served first. In a UART: 16 bytes that wait to be sent.", "emulate_a_device"),
    ("GPA", "guest physical address", "What the guest takes for an address of real memory. The second-level page table says where it is.",
     "split_a_driver"),
    ("GPADL", "guest physical address descriptor list", "A list of pages that a guest shares with the host, under a number. VMBus rings "
     "are shared this way.", "split_a_driver"),
    ("GPU", "graphics processing unit", "A device that computes pictures, and by now much else: thousands of simple multipliers, and memory of its own.",
     "accelerate"),
    ("GPU-PV", "GPU paravirtualization", "Hyper-V's split way to share a GPU: the guest sends its commands over VMBus, and the host owns the device.", "accelerate"),
    ("HLT", "halt", "The instruction with which a processor sleeps until an interrupt comes. It exits, and the host gives the core to "
     "somebody else.", "trap_an_instruction"),
    ("firmware", "", "The program in a PC that runs before the operating system: it finds RAM and devices, writes tables and loads the "
     "kernel.", "boot_a_real_linux"),
    ("IDE", "integrated drive electronics", "The older name for ATA disks and their controller.", "emulate_a_device"),
    ("initramfs", "initial file system in RAM", "The files that a kernel has before it has found a disk: an archive that is loaded beside "
     "it, with a first program and the drivers for the disk.", "boot_a_real_linux"),
    ("IPI", "interprocessor interrupt", "An interrupt that one processor sends another, here to end its sleep. A vCPU sends it by a write "
     "to an MSR, which is an exit.", "fill_a_ring"),
    ("IOMMU", "input-output memory management unit", "Translates and checks the addresses of devices' DMA, as page tables do for the "
     "processor's.", "pass_a_device_through"),
    ("IOPS", "I/O operations per second", "How many requests a disk finishes in a second.", "share_a_device"),
    ("IOTLB", "I/O translation lookaside buffer", "Where an IOMMU remembers translations. It has to be told to forget.",
     "pass_a_device_through"),
    ("IRQ", "interrupt request", "The line, or its number, with which a device asks the processor for attention.", "emulate_a_device"),
    ("KVM", "kernel-based virtual machine", "The hypervisor in Linux. A program opens `/dev/kvm` and runs guests with it.",
     "run_on_real_hardware"),
    ("LBA", "logical block address", "The number of a disk's block, counted from 0.", "emulate_a_device"),
    ("LUN", "logical unit number", "The number of a disk behind a SCSI controller, counted from 0; people also call the disk itself a LUN.",
     "grow_and_shrink"),
    ("MAC", "medium access control", "The layer that puts frames on a wire. Its addresses, six bytes, belong to network cards.", "move_packets"),
    ("MMIO", "memory-mapped I/O", "A device's registers at addresses of memory: an ordinary load or store reaches them.",
     "trap_an_instruction"),
    ("MSR", "model-specific register", "A register of the processor that RDMSR and WRMSR read and write. Hyper-V adds some of its own, "
     "from number 40000000h on.", "trap_an_instruction"),
    ("monitor page", "", "A page of the guest's with a bit for each VMBus channel that may use it. Setting the bit signals the host "
     "without an exit; the host looks at the page now and then.", "fill_a_ring"),
    ("matrix engine", "", "A device that multiplies matrices, the work that neural networks are made of.", "accelerate"),
    ("live migration", "", "A guest moves to another host while it runs.", "move_a_running_guest"),
    ("MSI", "message-signalled interrupt", "An interrupt that a device raises by a store to an address; MSI-X has up to 2,048 of them.",
     "pass_a_device_through"),
    ("NetVSC", "network virtualization service client", "The guest's half of Hyper-V's network driver.", "move_packets"),
    ("NetVSP", "network virtualization service provider", "The host's half of Hyper-V's network driver.", "move_packets"),
    ("NPT", "nested page tables", "AMD's name for the second-level page table (Intel: EPT).", "trap_an_instruction"),
    ("NVMe", "non-volatile memory express", "The interface of today's solid-state disks: queues in memory, and a doorbell to ring.",
     "pass_a_device_through"),
    ("OpenVMM", "", "Microsoft's open-source virtual machine monitor; its code shows how a host of VMBus devices behaves.", "fill_a_ring"),
    ("PCI", "peripheral component interconnect", "The bus on which a PC finds its devices: each has an identity, BARs and interrupts.",
     "pass_a_device_through"),
    ("PCIe", "PCI express", "PCI over fast serial links; for software it is PCI with more.", "pass_a_device_through"),
    ("PF", "physical function", "The whole device of an SR-IOV card, which its owner configures.", "pass_a_device_through"),
    ("PHY", "physical layer", "The chip of a network card that drives the cable; the card asks it over two wires whether there is a link.",
     "move_packets"),
    ("PIC", "programmable interrupt controller", "The PC's first interrupt controller, two chips of type 8259A.", "trap_an_instruction"),
    ("PID", "proportional, integral, derivative", "A rule that acts by the sum of three: how far off something is, how far off it has been so far, "
     "and how fast that changes.", "scan_in_parallel"),
    ("PIO", "programmed input and output", "The processor itself moves each word between memory and a device's data port.",
     "emulate_a_device"),
    ("PIT", "programmable interval timer", "The PC's first timer, a chip of type 8254: 1,193,182 counts a second.", "trap_an_instruction"),
    ("PNG", "portable network graphics", "A picture as points of colour, in a file that every program shows.", "store_in_a_cloud"),
    ("PRD", "physical region descriptor", "Address and length of a piece of memory, for an IDE controller's DMA.", "emulate_a_device"),
    ("post-copy", "", "A live migration that moves the guest first and its pages afterwards; each is fetched when it is touched.",
     "move_a_running_guest"),
    ("QEMU", "", "A program that imitates whole computers, device by device. Here its answers are the standard for ours.",
     "emulate_a_device"),
    ("QoS", "quality of service", "Promises about speed: at least so much, at most so much.", "share_a_device"),
    ("RAM", "random-access memory", "The computer's memory.", "trap_an_instruction"),
    ("ROM", "read-only memory", "A memory that keeps what was written into it once, such as a network card's address.", "move_packets"),
    ("RTC", "real-time clock", "The chip that keeps the date while a PC is off.", "trap_an_instruction"),
    ("SCSI", "small computer system interface", "A language of commands for disks, spoken over many kinds of wire; Hyper-V's virtual disks "
     "speak it over VMBus.", "split_a_driver"),
    ("SINT", "synthetic interrupt source", "One of 16 sources of a SynIC; VMBus uses number 2.", "split_a_driver"),
    ("SLAT", "second-level address translation", "The general name for EPT and NPT.", "trap_an_instruction"),
    ("SPDK", "storage performance development kit", "Drivers and servers for fast disks that run in user space and poll.",
     "run_on_real_hardware"),
    ("SR-IOV", "single-root I/O virtualization", "One PCI device shows itself as several, and each can be given to another guest.",
     "pass_a_device_through"),
    ("SRB", "SCSI request block", "Windows's form of a SCSI request: the command, how much data, and later how it ended.", "split_a_driver"),
    ("StorVSC", "storage virtualization service client", "The guest's half of Hyper-V's disk driver.", "split_a_driver"),
    ("StorVSP", "storage virtualization service provider", "The host's half of Hyper-V's disk driver.", "split_a_driver"),
    ("SVG", "scalable vector graphics", "A picture as lines and letters, which stays sharp at any size.", "store_in_a_cloud"),
    ("SynIC", "synthetic interrupt controller", "Hyper-V's own interrupt controller for each virtual processor: messages and event flags "
     "in memory instead of wires.", "split_a_driver"),
    ("TLFS", "top-level functional specification", "Microsoft's description of what a Hyper-V guest can ask its hypervisor.",
     "boot_a_real_linux"),
    ("TPR", "task priority register", "The register of an APIC that holds back less important interrupts.", "trap_an_instruction"),
    ("TSC", "time stamp counter", "The processor's counter of time. A guest reads it with an instruction that does not exit.",
     "trap_an_instruction"),
    ("UART", "universal asynchronous receiver and transmitter", "The serial port's chip: a byte in, bits out, one after the other.",
     "emulate_a_device"),
    ("Unicorn", "", "QEMU's translator of machine code as a library: a processor in software.", "boot_a_real_linux"),
    ("VF", "virtual function", "One of the devices that an SR-IOV card shows besides its PF; a guest can have it for itself.",
     "pass_a_device_through"),
    ("VFIO", "virtual function I/O", "Linux's way to give a device to a guest or to a program.", "pass_a_device_through"),
    ("VHDX", "virtual hard disk, version 2", "Hyper-V's file format for disks.", "split_a_driver"),
    ("VLAN", "virtual local area network", "A network of its own over shared cables and switches: a number in each frame says which.",
     "move_packets"),
    ("VM", "virtual machine", "A guest's computer, made by a hypervisor.", "start_here"),
    ("VM exit", "", "The moment when the processor stops running the guest and starts running the hypervisor. Hyper-V calls it an "
     "intercept, teachers call it a trap.", "trap_an_instruction"),
    ("VMBus", "virtual machine bus", "Hyper-V's bus for split drivers: channels of two rings each, in memory that guest and host share.",
     "split_a_driver"),
    ("VMCALL", "", "The instruction with which a guest calls its hypervisor, as a program calls its system. It always exits.",
     "split_a_driver"),
    ("VSC", "virtualization service client", "The half of a split driver that runs in the guest.", "split_a_driver"),
    ("VSP", "virtualization service provider", "The half of a split driver that runs in the host.", "split_a_driver"),
    ("base layer", "", "The files that many containers start from. Nobody changes it; it is known by its digest.", "isolate_containers"),
    ("DAX", "direct access", "A way to mount a file system that lies in memory: programs get its pages themselves, and no copy is kept.", "isolate_containers"),
    ("GCS", "guest compute service", "The agent in a utility guest that starts containers and processes for its host.", "isolate_containers"),
    ("hvsocket", "", "A stream of bytes between a Hyper-V guest and its host, like a network connection, over VMBus.", "isolate_containers"),
    ("JSON", "", "A way to write data as text: names and values in braces.", "isolate_containers"),
    ("scratch disk", "", "Where a container's own writes go, over its layers. It is thrown away when the container stops.", "isolate_containers"),
    ("utility guest", "", "A small virtual machine around one container, with a kernel of its own.", "isolate_containers"),
    ("VPMem", "virtual persistent memory", "A file of the host's that a guest has as memory. Several guests may have the same pages.", "isolate_containers"),
    ("doorbell", "", "A register, or a call, that only says: look at the queue, something new is there.", "fill_a_ring"),
    ("hypercall", "", "A guest's call to the hypervisor.", "trap_an_instruction"),
    ("virtual time", "", "The model's own clock. It moves by what instructions, exits and devices cost according to the prices, not by how "
     "fast this computer is; so two runs give the same times.", "trap_an_instruction"),
    ("vCPU", "virtual processor", "A processor as the guest sees it; the host's scheduler gives it a core when one is free.",
     "trap_an_instruction"),
))
NAMES = frozenset("""
    ADDRESS AMD ANSWER BitLocker SEV-SNP TDX TEE XTS EAX EBX ECX EDX AT ATAPI-6 BFQ CACHE COM1 DEVICE EXTERNAL FAIL FLUSH GB GET GiB IDENTIFY IN INBAND INS INTERRUPT KiB MAX MiB MODE MOV MULTIPLE
    NATIVE OSDI OUT OUTS OUTSB PASS NSDI MB PC PIIX4 PUT READ REJECT REP REQUEST SECRET SECTORS SET SQLite SYNCHRONIZE USER VMware WEDGED WRITE
    FAST FlashBlox SYSTOR XSA-155 MapReduce IEEE CLOUD LOAD MATMUL STORE LeftoverLocals NetGames GHz MHz MSI-X RDMSR WRMSR RDTSC LSR LCR DEC CSR0 CSR1 CSR5 CSR7 CSR8 CSR11""".split())
_BY_WORD = {term.word: term for term in TERMS}
_WORDS = "|".join(re.escape(word) for word in sorted(_BY_WORD, key=len, reverse=True))
_FIRST = re.compile(rf"(?<![\w/\[-])({_WORDS})(s?)(?![\w-]|\.\w)")
_APART = re.compile(r"(```.*?```|`[^`\n]*`|!?\[[^\]]*\]\([^)]*\)|\{[^}\n]*\}|<[^>\n]*>|https?://\S+)", re.DOTALL)
_CAPITALS = re.compile(r"(?<![\w-])(?![0-9A-F]+h\b)(?:[A-Z][A-Za-z0-9]*[A-Z][A-Za-z0-9]*)(?:-[A-Z0-9]+)*(?![\w-])")


def link_first(text: str, seen: set[str]) -> str:
    """Return a Markdown text in which the first use of each term that is not in `seen` leads to the glossary; they go into `seen`."""
    return "".join(_linked(part, seen) if prose else part for prose, part in _parts(text))


def unknown(text: str) -> list[str]:
    """Return the words in capitals of a Markdown text that are neither a term nor a name."""
    found = {word.group(0) for prose, part in _parts(text) if prose for word in _CAPITALS.finditer(part)}
    return sorted(word for word in found if word not in NAMES and word not in _BY_WORD and word.removesuffix("s") not in _BY_WORD
                  and word.removesuffix("s") not in NAMES)


def page() -> str:
    """Return the glossary as Markdown, one heading a term; `{lesson:NAME}` stands for a link."""
    entries = [f"### {term.word}\n\n{_sentence(term)} {{lesson:{term.lesson}}}" for term in sorted(TERMS, key=lambda term: term.word.lower())]
    return "\n\n".join(["# Glossary\n\nThe course's abbreviations and words; each with the lesson that shows it.", *entries])


def _sentence(term: Term) -> str:
    """What the word stands for and what it is."""
    return f"*{term.stands_for}*. {term.text}" if term.stands_for else term.text


def _linked(text: str, seen: set[str]) -> str:
    """Prose with links."""
    def link(match: re.Match[str]) -> str:
        word = match[1]
        if word in seen:
            return match[0]
        seen.add(word)
        term = _BY_WORD[word]
        title = (term.stands_for or term.text.partition(".")[0].replace("`", "").replace("*", "")).replace('"', "'")
        return f'[{match[0]}]({FILE}#{word.replace(" ", "-")} "{title}")'
    return _FIRST.sub(link, text)


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """(whether it is prose, part): code, links, headings and drawings are none."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(("#", "    ", "\t")):
            yield from _inline("".join(lines))
            lines = []
            yield False, line
        else:
            lines.append(line)
    yield from _inline("".join(lines))


def _inline(text: str) -> Iterator[tuple[bool, str]]:
    """The prose between code, links and places to fill, and these."""
    for number, part in enumerate(_APART.split(text)):
        yield number % 2 == 0, part
