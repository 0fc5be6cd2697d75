"""A kernel's file: a bzImage, as Linux and a few others (memtest86+) are shipped.

First come `setup_sects` sectors of real-mode code with the setup header in them, which we don't run,
then the protected-mode part, which unpacks the kernel itself.
Source: Linux Documentation/arch/x86/boot.rst, protocol 2.12 and later.
"""

from vmio.firmware.boot_wire import BOOT_FLAG, HEADER_AT, KERNEL_64, LEAST_PROTOCOL, LOADED_HIGH, MAGIC, SECTOR, SETUP_HEADER
from vmio.machine.contracts import Buffer

SMALLEST = HEADER_AT + SETUP_HEADER.size
PARAGRAPH = 16              # bytes: what `syssize` counts
_OTHERS = {b"\x7fELF": "an ELF file (a vmlinux?)", b"\x1f\x8b": "packed with gzip", b"!<arch>\n": "an archive (a .deb?)",
           b"0707": "a cpio archive (an initramfs?)", b"\xfd7zXZ": "packed with xz"}


class BzImage:
    """The kernel in `data`; `name` is for messages.  ValueError, one sentence, for what can't be started in 64-bit mode.

    `header` is the parsed setup header, `protected` the part that goes into RAM.
    """

    def __init__(self, data: Buffer, name: str = "kernel") -> None:
        self.name = name
        if len(data) < SMALLEST:
            raise self._refused(f"{len(data):,} bytes are no kernel; a bzImage has at least {SMALLEST:,}{_looks_like(data)}")
        self.header = header = SETUP_HEADER.parse(data, HEADER_AT)
        if header.header != MAGIC or header.boot_flag != BOOT_FLAG:
            raise self._refused(f"no kernel: a bzImage has 'HdrS' at 202h and AA55h at 1FEh{_looks_like(data)}")
        if not header.loadflags & LOADED_HIGH:
            raise self._refused("a zImage for low memory; a bzImage is needed")
        if header.version < LEAST_PROTOCOL or not header.xloadflags & KERNEL_64:
            raise self._refused(f"a kernel for 32-bit processors (boot protocol {header.version >> 8}.{header.version & 0xFF:02}); "
                                "one with a 64-bit entry is needed")
        start = ((header.setup_sects or 4) + 1) * SECTOR
        whole = start + PARAGRAPH * header.syssize
        if len(data) <= whole - PARAGRAPH:     # less than one may be left out: memtest86+ does
            raise self._refused(f"truncated: {len(data):,} bytes, its header speaks of {whole:,}")
        if header.payload_offset + header.payload_length > PARAGRAPH * header.syssize:
            raise self._refused(f"damaged: its payload of {header.payload_length:,} bytes ends behind its protected-mode part")
        alignment = header.kernel_alignment
        if header.relocatable_kernel and (not alignment or alignment & alignment - 1):
            raise self._refused(f"damaged: its alignment is {alignment:#x}, no power of two")
        if header.init_size < PARAGRAPH * header.syssize and header.payload_length:
            raise self._refused(f"damaged: it asks for {header.init_size:,} bytes of memory, less than it has itself")
        self.protected = bytes(data[start:whole]).ljust(whole - start, b"\0")
        self.setup = bytes(data[HEADER_AT:SMALLEST])
        self.version = _text(data, SECTOR + header.kernel_version) if header.kernel_version else ""

    @property
    def room(self) -> int:
        """Bytes that must be free from where it is loaded."""
        return max(self.header.init_size, len(self.protected))

    @property
    def address(self) -> int:
        """Where it wants to lie: a relocatable one at its next multiple of `kernel_alignment`."""
        if not self.header.relocatable_kernel:
            return self.header.pref_address
        alignment = self.header.kernel_alignment
        return -(-self.header.pref_address // alignment) * alignment

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"kernel {self.name}: {why}" if self.name != "kernel" else f"kernel: {why}")


def _looks_like(data: Buffer) -> str:
    """What a file that is no kernel may be."""
    for magic, what in _OTHERS.items():
        if bytes(data[:len(magic)]) == magic:
            return f"; this is {what}"
    return ""


def _text(data: Buffer, at: int) -> str:
    """The text at `at`, up to its zero; what isn't printable becomes a question mark."""
    raw = bytes(data[at:at + 256]).split(b"\0")[0]
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)
