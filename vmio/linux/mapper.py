"""A program for an initramfs that makes one device-mapper disk, such as an encrypted one; busybox has none.

    build(kept, ["await /dev/sda", "secret", "dd if=letter of=/dev/dm-0"], [*DISKS, *CRYPT],
          programs={"secret": mapper.program("secret", 65536, "crypt", f"aes-xts-plain64 {key.hex()} 0 /dev/sda 0")})

All that it does is to open /dev/mapper/control and to ask the kernel for three things, each an `ioctl` with a buffer that is
ready in the file: make a disk of this name, load its table, let it go.  So the program needs neither arguments nor a library.
It ends with status 0, or 1 where the kernel refused.
"""

from vmio.linux.mapper_wire import DM_CREATE, DM_IOCTL, DM_LOAD, DM_SUSPEND, DM_TARGET, PROGRAM, PROGRAM_MAGIC, SEGMENT, ioctl

CRYPT = ("dm-mod", "ecb", "xts", "dm-crypt")        # modules: the mapper, AES-XTS, and the target "crypt"
CONTROL = b"/dev/mapper/control\0"
BUFFER = 4096           # bytes of a request, and of the kernel's answer in its place
BASE = 0x40_0000        # where Linux loads such a program
_CODE = PROGRAM.size + SEGMENT.size


def program(name: str, sectors: int, target: str, parameters: str) -> bytes:
    """Return an executable file; the disk is /dev/dm-N, N the number of such disks before it.

    `parameters` are those of dmsetup's table behind the target's name, such as "aes-xts-plain64 KEY 0 /dev/sda 0".
    ValueError where one is longer than there is room for.
    """
    line = parameters.encode() + b"\0"
    for what, text, room in (("name", name.encode(), 127), ("target", target.encode(), 15),
                             ("parameters", parameters.encode(), BUFFER - DM_IOCTL.size - DM_TARGET.size - 1)):
        if not text or len(text) > room:
            raise ValueError(f"device mapper, {what} {text.decode()!r}: 1 to {room} bytes fit")
    table = DM_TARGET.pack(length=sectors, type=target.encode()) + line
    return _file([(DM_CREATE, _request(name)), (DM_LOAD, _request(name, table)), (DM_SUSPEND, _request(name))])


def _request(name: str, table: bytes = b"") -> bytes:
    """The buffer of an ioctl on the disk of this name."""
    head = DM_IOCTL.pack(data_size=BUFFER, data_start=DM_IOCTL.size, target_count=bool(table), name=name.encode())
    return (head + table).ljust(BUFFER, b"\0")


def _file(requests: list[tuple[int, bytes]]) -> bytes:
    """An ELF file of one segment: its headers, the program, what it opens, and its buffers, all to be written, too."""
    code = b""
    for _ in range(2):      # the second time it is known how long the program is
        data = BASE + _CODE + len(code)
        code = _open(data) + b"".join(_ask(ioctl(number), data + len(CONTROL) + n * BUFFER) for n, (number, _) in enumerate(requests)) + _END
    content = code + CONTROL + b"".join(buffer for _, buffer in requests)
    size = _CODE + len(content)
    return (PROGRAM.pack(magic=PROGRAM_MAGIC, entry=BASE + _CODE)
            + SEGMENT.pack(flags=7, address=BASE, physical=BASE, file_bytes=size, bytes=size) + content)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _open(path: int) -> bytes:
    """open(path, O_RDWR); what it answers, the file's number, goes to EBX."""
    return (b"\xb8" + _number(2)            # mov eax, 2: open
            + b"\xbf" + _number(path)       # mov edi, path
            + b"\xbe" + _number(2)          # mov esi, 2: O_RDWR
            + b"\x0f\x05"                   # syscall
            + b"\x89\xc3")                  # mov ebx, eax


def _ask(request: int, buffer: int) -> bytes:
    """ioctl(EBX, request, buffer); exit(1) if that is refused, which it is with no file, too."""
    return (b"\xb8" + _number(16)           # mov eax, 16: ioctl
            + b"\x89\xdf"                   # mov edi, ebx
            + b"\xbe" + _number(request)    # mov esi, request
            + b"\xba" + _number(buffer)     # mov edx, buffer
            + b"\x0f\x05"                   # syscall
            + b"\xbf" + _number(1)          # mov edi, 1
            + b"\x85\xc0"                   # test eax, eax
            + b"\x74\x07"                   # jz over the next two
            + b"\xb8" + _number(60)         # mov eax, 60: exit
            + b"\x0f\x05")                  # syscall


_END = b"\x31\xff" + b"\xb8" + _number(60) + b"\x0f\x05"      # xor edi, edi; mov eax, 60; syscall
