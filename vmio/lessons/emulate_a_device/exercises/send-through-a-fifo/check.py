from vmio import Board, Host, UartDriver
from vmio.lab import Wrong, expect_at_most


def check(send):
    cost = 0
    for pace in ("instant", "baud"):
        for data in (b"x", b"sixteen bytes ok", bytes(range(7, 52)), b"a line that is longer\r\n" * 5):
            guest = Host(memory_mib=8).guest(ram_mib=1)
            board, cpu = Board(guest, uart_pace=pace), guest.cpu
            UartDriver(cpu).init()
            before = cpu.exits.total
            guest.host.run((cpu, lambda cpu: send(cpu, data)), limit_ns=200_000_000)
            exits = cpu.exits.total - before
            guest.clock.advance_to(cpu.now + 50_000_000)   # what is in the transmitter leaves
            given = f"{len(data)} bytes, {'transmitter always ready' if pace == 'instant' else '115,200 baud'}"
            if bytes(board.uart.sent) != data:
                raise Wrong(given, data, bytes(board.uart.sent))
            if pace == "instant":
                expect_at_most(exits, len(data) + -(-len(data) // 16), "exits", given=given)
                cost = max(cost, exits / len(data) if len(data) > 16 else 0)
    return f"{cost:.2f} exits a byte."
