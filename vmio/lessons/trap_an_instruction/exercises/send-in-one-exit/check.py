from vmio import attachment, one_guest
from vmio.lab import counted, expect, expect_at_most, meter, varied


def check(send):
    step, = varied("send-in-one-exit", (37,), range(1, 255, 2))
    for data in (b"x", b"\x00\xff\x00", b"vmio " * 61 + b"end", bytes(i * step & 0xFF for i in range(4000))):
        machine = one_guest(attachment("serial", "emulated"), ram_mib=1)
        send(machine.cpu, data)
        expect(bytes(machine.board.uart.sent), data, given=counted(len(data), "bytes"))
        expect_at_most(machine.cpu.exits.total, 1, "exits", given=counted(len(data), "bytes"))
    return "One exit for 1 byte and for 4,000."


def cost(send, length=300):
    """{length:,} bytes through the UART"""
    machine = one_guest(attachment("serial", "emulated"), ram_mib=1)
    read = meter(machine.cpu)
    send(machine.cpu, bytes(at & 0xFF for at in range(length)))
    return {**read(), "bytes sent": len(machine.board.uart.sent)}
