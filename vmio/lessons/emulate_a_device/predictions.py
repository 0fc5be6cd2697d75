"""The predictions of *Emulate a device* with numbers of a student's own."""

from vmio.drivers.uart import UartDriver
from vmio.lab.asked import Own
from vmio.lessons.emulate_a_device import panel


def _uart_exits(length: int) -> int:
    cpu = panel.machine().guest.cpu
    uart = UartDriver(cpu)
    uart.init(fifo=False)
    before = cpu.exits.total
    uart.write(bytes(length))
    return cpu.exits.total - before


def _disk_exits(sectors: int) -> int:
    return panel.read_once("pio", sectors, "2-byte words", True, "server-2022").exits_total


OWN = {
    "thousand-bytes": Own("{length:,} bytes, asking before each one: how many exits?",
                          {"length": [length for length in range(200, 2000) if length != 1000]}, _uart_exits),
    "four-kilobytes": Own("A read of {sectors} sectors by 2-byte words, with an interrupt for each sector: how many exits?",
                          {"sectors": [sectors for sectors in range(2, 65) if sectors != 8]}, _disk_exits),
}
