"""A program for a real Linux's initramfs: a socket to its host, by AF_VSOCK; it sends back what comes until nothing more does.

It is made here byte by byte, as `vmio.linux.mapper` does it, and needs no library: socket, connect (or bind, listen, accept), then
read and write in turn, and exit with 0, or with 1 where the kernel refused.
"""

from vmio.linux.mapper_wire import PROGRAM, PROGRAM_MAGIC, SEGMENT
from vmio.machine.layout import Layout, raw, u16, u32

ADDRESS = Layout("sockaddr_vm", u16("family", default=40), u16("reserved"), u32("port"), u32("cid"), raw("zero", 4))   # linux/vm_sockets.h
HOST, ANY = 2, 0xFFFF_FFFF          # VMADDR_CID_HOST, VMADDR_CID_ANY
BASE, BUFFER = 0x40_0000, 8192
READ, WRITE, EXIT, SOCKET, CONNECT, ACCEPT, BIND, LISTEN = 0, 1, 60, 41, 42, 43, 49, 50
FD = b"\x89\xdf"                    # mov edi, ebx: the socket's number
FAIL = 12                           # bytes of `_fail`


def _load(opcode, value):
    """mov r32, value."""
    return bytes((opcode,)) + (value & 0xFFFF_FFFF).to_bytes(4, "little")


def _call(number, *code):
    """A system call, with what loads its arguments before."""
    return b"".join(code) + _load(0xB8, number) + b"\x0f\x05"


_fail = _load(0xBF, 1) + _load(0xB8, EXIT) + b"\x0f\x05"     # exit(1)
_must = b"\x85\xc0" + b"\x79" + bytes((FAIL,)) + _fail         # test eax, eax; jns over the failure


def program(port, listen=False):
    """Return the executable file: it connects to its host's port, or waits until the host connects to its own."""
    address = ADDRESS.pack(port=port, cid=ANY if listen else HOST)
    code = b""
    for _ in range(2):              # the second time it is known how long it is
        data = BASE + PROGRAM.size + SEGMENT.size + len(code)
        where = _load(0xBE, data) + _load(0xBA, len(address))      # mov esi, address; mov edx, its length
        code = _call(SOCKET, _load(0xBF, 40), _load(0xBE, 1), _load(0xBA, 0)) + b"\x89\xc3" + _must      # mov ebx, eax
        if listen:
            code += _call(BIND, FD, where) + _must + _call(LISTEN, FD, _load(0xBE, 4)) + _must
            code += _call(ACCEPT, FD, _load(0xBE, 0), _load(0xBA, 0)) + b"\x89\xc3" + _must
        else:
            code += _call(CONNECT, FD, where) + _must
        again = len(code)
        code += _call(READ, FD, _load(0xBE, data + len(address)), _load(0xBA, BUFFER)) + _must
        code += b"\x89\xc5" + b"\x41\xbd" + (data + len(address)).to_bytes(4, "little")     # mov ebp, eax; mov r13d, the buffer
        code += b"\x85\xed" + b"\x75\x09" + b"\x31\xff" + _load(0xB8, EXIT) + b"\x0f\x05"   # nothing came: exit(0)
        more = len(code)
        code += _call(WRITE, FD, b"\x44\x89\xee", b"\x89\xea") + _must                       # mov esi, r13d; mov edx, ebp
        code += b"\x41\x01\xc5" + b"\x29\xc5"                                                # add r13d, eax; sub ebp, eax
        code += b"\x75" + ((more - len(code) - 2) & 0xFF).to_bytes(1, "little")              # jnz more
        code += b"\xe9" + ((again - len(code) - 5) & 0xFFFF_FFFF).to_bytes(4, "little")      # jmp again
    content = code + address
    size = PROGRAM.size + SEGMENT.size + len(content)
    return (PROGRAM.pack(magic=PROGRAM_MAGIC, entry=BASE + PROGRAM.size + SEGMENT.size)
            + SEGMENT.pack(flags=7, address=BASE, physical=BASE, file_bytes=size, bytes=size + BUFFER) + content)
