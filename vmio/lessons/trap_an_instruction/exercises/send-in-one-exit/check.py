from vmio import Board, Host
from vmio.lab import expect, expect_at_most


def check(send):
    for data in (b"x", b"\x00\xff\x00", b"vmio " * 61 + b"end", bytes(i * 37 & 0xFF for i in range(4000))):
        guest = Host(memory_mib=8).guest(ram_mib=1)
        board = Board(guest)
        send(guest.cpu, data)
        expect(bytes(board.uart.sent), data, given=f"{len(data)} bytes")
        expect_at_most(guest.cpu.exits.total, 1, "exit", given=f"{len(data)} bytes")
    return "One exit for 1 byte and for 4,000."
