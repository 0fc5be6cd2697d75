"""A tiny assembler: the dozen instructions with which a driver reaches a device.

A program is a straight line without jumps: what runs is what was written,
once and in order, so that exits can be counted by reading it.  Encodings: Intel
SDM vol. 2 (IN, INS, MOV, OUT, OUTS, REP); a prefix 66h makes 16 bits of 32.
"""

SIZES = (1, 2, 4)


class Code:
    """Instructions in `bytes(code)`.  Each method appends and returns the code, so calls can be chained."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def __len__(self) -> int:
        return len(self._bytes)

    def raw(self, data: bytes) -> "Code":
        """Return bytes as they are."""
        self._bytes += data
        return self

    def out(self, port: int, value: int, size: int = 1) -> "Code":
        """OUT DX, AL/AX/EAX."""
        return self._edx(port)._eax(value, size)._sized(0xEE, size)

    def in_(self, port: int, size: int = 1, to: int | None = None) -> "Code":
        """IN AL/AX/EAX, DX; with `to`, keep what was read at that address."""
        return self._edx(port)._sized(0xEC, size)._keep(to, size)

    def rep_outs(self, port: int, address: int, count: int, size: int = 1) -> "Code":
        """REP OUTS: `count` units from memory at `address` to the port."""
        return self._edx(port)._rsi(address)._ecx(count)._sized(0x6E, size, rep=True)

    def rep_ins(self, port: int, address: int, count: int, size: int = 1) -> "Code":
        """REP INS: `count` units from the port to memory at `address`."""
        return self._edx(port)._rdi(address)._ecx(count)._sized(0x6C, size, rep=True)

    def store(self, address: int, value: int, size: int = 4) -> "Code":
        """MOV [RDI], AL/AX/EAX/RAX: RAM or device, the address decides."""
        if size == 8:
            return self._rdi(address).raw(b"\x48\xb8" + _field(value, 8) + b"\x48\x89\x07")
        return self._rdi(address)._eax(value, size)._sized(0x88, size, b"\x07")

    def load(self, address: int, size: int = 4, to: int | None = None) -> "Code":
        """MOV AL/AX/EAX/RAX, [RSI]; with `to`, keep what was read at that address."""
        if size == 8:
            return self._rsi(address).raw(b"\x48\x8b\x06" + (b"" if to is None else b"\x48\xa3" + _field(to, 8)))
        return self._rsi(address)._sized(0x8A, size, b"\x06")._keep(to, size)

    def copy(self, to: int, address: int, length: int) -> "Code":
        """REP MOVSB: `length` bytes from memory to memory."""
        return self._rdi(to)._rsi(address)._ecx(length).raw(b"\xf3\xa4")

    def cpuid(self, leaf: int = 0) -> "Code":
        """CPUID: exits always, and KVM answers by itself.  EAX, EBX, ECX and EDX change."""
        return self._eax(leaf, 4).raw(b"\x0f\xa2")

    def hlt(self) -> "Code":
        """HLT: for ring 0 only; in ring 3 it faults."""
        return self.raw(b"\xf4")

    def loop_forever(self) -> "Code":
        """JMP to itself, the one jump there is: it needs a deadline."""
        return self.raw(b"\xeb\xfe")

    def _sized(self, byte_opcode: int, size: int, operands: bytes = b"", rep: bool = False) -> "Code":
        """One opcode for bytes, the next for 16 and 32 bits."""
        if size not in SIZES:
            raise ValueError(f"an access of {size} bytes: it must be one of {SIZES}")
        prefixes = (b"\x66" if size == 2 else b"") + (b"\xf3" if rep else b"")
        return self.raw(prefixes + bytes([byte_opcode + (size > 1)]) + operands)

    def _keep(self, address: int | None, size: int) -> "Code":
        return self if address is None else self._sized(0xA2, size, _field(address, 8))    # MOV moffs64, (E)A(X/L)

    def _eax(self, value: int, size: int) -> "Code":
        _field(value, size)
        return self.raw(b"\xb8" + _field(value, 4))

    def _ecx(self, count: int) -> "Code":
        return self.raw(b"\xb9" + _field(count, 4))

    def _edx(self, port: int) -> "Code":
        _field(port, 2)
        return self.raw(b"\xba" + _field(port, 4))

    def _rsi(self, address: int) -> "Code":
        return self.raw(b"\x48\xbe" + _field(address, 8))

    def _rdi(self, address: int) -> "Code":
        return self.raw(b"\x48\xbf" + _field(address, 8))


def _field(value: int, size: int) -> bytes:
    if not 0 <= value < 1 << 8 * size:
        raise ValueError(f"{value} does not fit into {size} bytes")
    return value.to_bytes(size, "little")
