from vmio import UartDriver, attachment, one_guest
from vmio.lab import Wrong, expect_at_most, meter


def run(send, data, pace):
    """(what was counted, the bytes that left the UART) of one `send`."""
    machine = one_guest(attachment("serial", "emulated", pace=pace), ram_mib=1)
    guest, board, cpu = machine.guest, machine.board, machine.cpu
    UartDriver(cpu).init()
    read = meter(cpu)
    guest.host.run((cpu, lambda cpu: send(cpu, data)), limit_ns=200_000_000)
    counts = read()
    guest.clock.advance_to(cpu.now + 50_000_000)   # what is in the transmitter leaves
    return counts, bytes(board.uart.sent)


def check(send):
    most = 0
    for pace in ("instant", "baud"):
        for data in (b"x", b"sixteen bytes ok", bytes(range(7, 52)), b"a line that is longer\r\n" * 5):
            counts, sent = run(send, data, pace)
            given = f"{len(data)} bytes, {'transmitter always ready' if pace == 'instant' else '115,200 baud'}"
            if sent != data:
                raise Wrong(given, data, sent)
            if pace == "instant":
                expect_at_most(counts["exits"], len(data) + -(-len(data) // 16), "exits", given=given)
                most = max(most, counts["exits"] / len(data) if len(data) > 16 else 0)
    return f"{most:.2f} exits per byte."


def cost(send, length=64, pace="instant"):
    """{length:,} bytes through the UART, {pace}"""
    counts, sent = run(send, bytes(32 + at % 95 for at in range(length)), pace)
    return {**counts, "bytes sent": len(sent)}
