"""The 16550A beyond the recorded traces: clauses of the PC16550D data sheet, one a test."""

import pytest

from vmio.devices.pc.uart import Uart
from vmio.devices.pc.uart_bits import (
    LSR_BI,
    LSR_DR,
    LSR_FE,
    LSR_FIFO_ERROR,
    LSR_OE,
    LSR_PE,
    LSR_TEMT,
    LSR_THRE,
    MSR_CTS,
    MSR_DCD,
    MSR_DSR,
    MSR_RI,
)
from vmio.machine.bus import BadAccess
from vmio.machine.clock import Clock
from vmio.machine.lines import Line

RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = 3, 4, 5, 6, 7


def port(divisor=1, fcr=0, ier=0, **options):
    """A port at 115200 / divisor baud, 8N1."""
    uart = Uart(Clock(), Line("irq4"), **options)
    uart.write(LCR, 1, 0x80)
    uart.write(DLL, 1, divisor & 0xFF)
    uart.write(DLM, 1, divisor >> 8)
    uart.write(LCR, 1, 0x03)
    uart.write(FCR, 1, fcr)
    uart.write(IER, 1, ier)
    return uart


def read(uart, *registers):
    return [uart.read(register, 1) for register in registers]


@pytest.mark.parametrize("fcr, level", [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_trigger_levels(fcr, level):
    uart = port(fcr=fcr, ier=1)
    for n in range(1, 17):
        uart.receive(b"x")
        assert uart.line.level == (n >= level)
        assert read(uart, IIR) == [0xC4 if n >= level else 0xC1]
    for left in range(15, -1, -1):
        uart.read(RBR, 1)
        assert uart.line.level == (left >= level)


def test_character_timeout_after_four_character_times_without_traffic():
    uart = port(divisor=12, fcr=0x41, ier=1)
    four_frames = 4 * 10 * 12 * 16 * 1_000_000_000 // 1_843_200
    uart.receive(b"ab")
    uart.clock.advance_to(four_frames - 20)
    assert read(uart, IIR) == [0xC1]
    uart.read(RBR, 1)  # reading starts the time anew
    uart.clock.advance_to(2 * four_frames - 60)
    assert uart.line.level == 0
    uart.clock.advance_to(2 * four_frames)
    assert uart.line.level == 1 and read(uart, IIR) == [0xCC]
    assert read(uart, RBR, IIR) == [ord("b"), 0xC1]
    uart.clock.advance_to(100 * four_frames)
    assert uart.line.level == 0  # an empty FIFO has nothing to say


@pytest.mark.parametrize("lcr, halfbits", [(0x00, 14), (0x03, 20), (0x04, 15), (0x07, 22), (0x1F, 24), (0x05, 18)])
def test_frame_time_counts_start_data_parity_and_stop_bits(lcr, halfbits):
    uart = port(divisor=3, pace="baud")
    uart.write(LCR, 1, lcr)
    assert uart.frame_ns == halfbits * 8 * 3 * 1_000_000_000 // 1_843_200
    uart.write(THR, 1, 0x55)
    uart.clock.advance_to(uart.frame_ns - 1)
    assert uart.sent == b""
    uart.clock.advance_to(uart.frame_ns)
    assert uart.sent == b"\x55"


def test_paced_transmitter_thre_comes_before_temt():
    uart = port(pace="baud", ier=2)
    assert read(uart, IIR, IIR) == [0x02, 0x01]
    uart.write(THR, 1, 65)  # straight into the shift register: THR is free again
    assert read(uart, LSR) == [LSR_THRE] and uart.line.level == 1
    uart.write(THR, 1, 66)
    assert read(uart, LSR) == [0] and uart.line.level == 0
    uart.clock.advance_to(uart.frame_ns)
    assert read(uart, LSR, IIR) == [LSR_THRE, 0x02] and uart.sent == b"A"
    uart.clock.advance_to(2 * uart.frame_ns)
    assert read(uart, LSR) == [LSR_THRE | LSR_TEMT] and uart.sent == b"AB"


def test_paced_transmit_fifo_of_sixteen():
    uart = port(pace="baud", fcr=0x01)
    for byte in range(17):  # one in the shift register, sixteen behind it
        uart.write(THR, 1, byte)
    assert read(uart, LSR) == [0]
    uart.clock.advance_to(16 * uart.frame_ns)
    assert read(uart, LSR) == [LSR_THRE]
    uart.clock.advance_to(17 * uart.frame_ns)
    assert read(uart, LSR) == [LSR_THRE | LSR_TEMT] and uart.sent == bytes(range(17))


def test_clearing_the_transmit_fifo_spares_the_shift_register():
    uart = port(pace="baud", fcr=0x01)
    for byte in b"abc":
        uart.write(THR, 1, byte)
    uart.write(FCR, 1, 0x05)
    assert read(uart, LSR) == [LSR_THRE]
    uart.clock.advance_to(10 * uart.frame_ns)
    assert uart.sent == b"a"


def test_paced_receiver_takes_line_rate_and_overruns():
    uart = port(pace="baud", fcr=0x01)
    uart.receive(bytes(range(20)))
    uart.clock.advance_to(uart.frame_ns - 1)
    assert read(uart, LSR) == [0x60]
    uart.clock.advance_to(uart.frame_ns)
    assert read(uart, LSR) == [0x61]
    uart.clock.advance_to(16 * uart.frame_ns)
    assert read(uart, LSR) == [0x61]
    uart.clock.advance_to(20 * uart.frame_ns)
    assert read(uart, LSR, LSR) == [0x63, 0x61]
    assert [uart.read(RBR, 1) for _ in range(16)] == list(range(16))
    assert read(uart, LSR) == [0x60]


def test_overrun_without_fifo_keeps_the_newer_character():
    uart = port()
    uart.receive(b"ab")
    assert read(uart, LSR, LSR, RBR, LSR) == [0x63, 0x61, ord("b"), 0x60]


def test_character_errors_show_at_the_top_of_the_fifo():
    uart = port(fcr=0x01, ier=4)
    uart.receive(b"a")
    uart.receive(b"b", LSR_PE)
    uart.receive(b"c")
    uart.receive(b"\0", LSR_BI | LSR_FE)
    assert uart.line.level == 0
    assert read(uart, LSR, LSR) == [0x61 | LSR_FIFO_ERROR] * 2  # further down: bit 7 only, and it stays
    uart.read(RBR, 1)
    assert uart.line.level == 1 and read(uart, IIR) == [0xC6]
    assert read(uart, LSR) == [0x61 | LSR_PE | LSR_FIFO_ERROR]
    assert uart.line.level == 0 and read(uart, IIR) == [0xC1]
    assert read(uart, LSR) == [0x61 | LSR_FIFO_ERROR]  # the break is still to come
    assert read(uart, RBR, RBR) == [ord("b"), ord("c")]
    assert read(uart, LSR, LSR) == [0x61 | LSR_BI | LSR_FE | LSR_FIFO_ERROR, 0x61]
    assert read(uart, RBR, LSR) == [0, 0x60]


def test_character_errors_without_fifo_have_no_bit_7():
    uart = port(ier=4)
    uart.receive(b"x", LSR_FE)
    assert read(uart, IIR, LSR, LSR, IIR) == [0x06, 0x60 | LSR_DR | LSR_FE, 0x61, 0x01]


def test_interrupt_priorities():
    uart = port(ier=0x0F)
    uart.set_modem_inputs(0)
    uart.receive(b"ab")
    assert read(uart, IIR) == [0x06]
    assert read(uart, LSR) == [0x60 | LSR_DR | LSR_OE]
    assert read(uart, IIR, RBR) == [0x04, ord("b")]
    assert read(uart, IIR) == [0x02]  # THRE: this read clears it
    assert read(uart, IIR) == [0x00]
    assert read(uart, MSR) == [0x0B]
    assert read(uart, IIR) == [0x01] and uart.line.level == 0


def test_thre_interrupt_once_for_each_enable():
    uart = port()
    uart.write(IER, 1, 2)
    assert read(uart, IIR, IIR) == [0x02, 0x01]
    uart.write(IER, 1, 2)  # no change, no interrupt
    assert uart.line.level == 0
    uart.write(IER, 1, 0)
    uart.write(IER, 1, 2)
    assert uart.line.level == 1
    edges = []
    uart.line.connect(edges.append)
    uart.write(THR, 1, 1)  # a write takes it back, the byte's leaving raises it
    assert edges == [0, 1]


def test_modem_inputs_delta_bits_and_trailing_edge_of_ring():
    uart = port(ier=8, modem_inputs=0)
    uart.set_modem_inputs(MSR_RI | MSR_CTS)
    assert uart.line.level == 1
    assert read(uart, MSR, MSR) == [0x51, 0x50]  # RI rising is not told
    uart.set_modem_inputs(MSR_CTS)
    assert read(uart, IIR, MSR, IIR) == [0x00, 0x14, 0x01]
    uart.set_modem_inputs(MSR_DCD | MSR_DSR)
    assert read(uart, MSR) == [0xAB]


def test_loopback_wraps_modem_lines_and_disconnects_the_wire():
    uart = port()
    for mcr, lines in ((0x11, MSR_DSR), (0x12, MSR_CTS), (0x14, MSR_RI), (0x18, MSR_DCD), (0x1F, 0xF0), (0x10, 0)):
        uart.write(MCR, 1, mcr)
        assert read(uart, MSR) == [lines]
    uart.receive(b"lost")
    uart.write(THR, 1, 0x42)
    assert read(uart, LSR, RBR, LSR) == [0x61, 0x42, 0x60]
    assert uart.sent == b""
    uart.write(MCR, 1, 0)
    assert read(uart, MSR) == [0xB0]


def test_loopback_deltas_as_the_data_sheet_has_them():
    uart = port(loopback_deltas=True, ier=8, modem_inputs=0)
    uart.write(MCR, 1, 0x1F)
    assert uart.line.level == 1
    assert read(uart, MSR, MSR) == [0xFB, 0xF0]
    uart.write(MCR, 1, 0x1B)
    assert read(uart, MSR) == [0xB4]  # the trailing edge of ring


def test_reading_an_empty_fifo_and_switching_modes():
    uart = port(fcr=0x01)
    assert read(uart, RBR) == [0]
    uart.receive(b"abc")
    uart.write(FCR, 1, 0x00)  # changing the mode clears
    assert read(uart, LSR, IIR) == [0x60, 0x01]


def test_sink_takes_the_bytes():
    taken = []
    uart = port(sink=taken.append)
    for byte in b"hi":
        uart.write(THR, 1, byte)
    assert bytes(taken) == b"hi" and uart.sent == b""


def test_room():
    uart = port(fcr=0x01)
    assert uart.free() == 16
    uart.receive(b"abc")
    assert uart.free() == 13
    uart.write(FCR, 1, 0)
    assert uart.free() == 1
    uart.receive(b"a")
    assert uart.free() == 0


def test_only_bytes_at_eight_offsets():
    uart = port()
    for offset, size in ((0, 2), (0, 4), (5, 2), (8, 1), (-1, 1)):
        with pytest.raises(BadAccess):
            uart.read(offset, size)
        with pytest.raises(BadAccess):
            uart.write(offset, size, 1)


@pytest.mark.parametrize("wrong", [{"pace": "fast"}, {"base_clock": 0}, {"modem_inputs": 0x0F}])
def test_parameters_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Uart(Clock(), Line(), **wrong)


def test_save_and_restore_in_mid_frame():
    uart = port(pace="baud", fcr=0x41, ier=3)
    uart.receive(b"ab", LSR_FE)
    for byte in b"xyz":
        uart.write(THR, 1, byte)
    uart.clock.advance_to(uart.frame_ns + 5)
    twin = Uart(Clock(uart.clock.now), Line(), pace="baud")
    twin.restore(uart.save())
    assert twin.save() == uart.save() and twin.line.level == uart.line.level
    for one in (uart, twin):
        one.clock.advance_to(20 * one.frame_ns)
    assert twin.save() == uart.save()
    assert uart.sent == b"xyz" and twin.sent == b"yz"
    assert [read(twin, LSR, RBR, LSR, RBR, IIR)] == [read(uart, LSR, RBR, LSR, RBR, IIR)]
