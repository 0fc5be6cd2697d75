"""TDISP: messages to the byte, every request in every state, and a host that changes what is locked."""

import random

import pytest

from vmio.devices.pci import header as h
from vmio.hardware.edu import Edu
from vmio.hardware.edu_pci import EduFunction
from vmio.hardware.tdisp import wire as w
from vmio.hardware.tdisp.interface import Interface
from vmio.hardware.tdisp.trusted import TrustedMemory
from vmio.hardware.tdisp.wire import Error, Message, State
from vmio.machine.clock import Clock
from vmio.machine.pagetable import READ, WRITE, TranslationFault

ID, BASE, MASTER = 0x0020, 0xFE00_0000, h.COMMAND_MEMORY | h.COMMAND_MASTER
UNLOCKED, LOCKED, RUN, ERROR = State


class Tee:
    """The guest's side, and the host's hand on the function."""

    def __init__(self, configured=True):
        self.function = EduFunction(Edu(Clock(), None))
        self.tdi = Interface(self.function, ID, random.Random(7))
        self.nonce = bytes(32)
        if configured:
            self.function.write(h.BAR0, 4, BASE)
            self.function.write(h.COMMAND, 2, MASTER)

    def ask(self, kind, layout=w.HEADER, **fields):
        return self.tdi.answer(layout.pack(type=kind, function_id=ID, **fields))

    def lock(self, **fields):
        answer = self.ask(Message.LOCK_INTERFACE, w.LOCK, **fields)
        if answer[1] == Message.LOCK_INTERFACE_RESPONSE:
            self.nonce = w.NONCED.parse(answer).nonce
        return answer

    def start(self, nonce=None):
        return self.ask(Message.START_INTERFACE, w.NONCED, nonce=self.nonce if nonce is None else nonce)

    def stop(self):
        return self.ask(Message.STOP_INTERFACE)

    def report(self, offset=0, length=256):
        return self.ask(Message.GET_DEVICE_INTERFACE_REPORT, w.ASK_REPORT, offset=offset, length=length)

    def repoint(self):
        self.function.write(h.BAR0, 4, BASE + 0x10_0000)

    def to(self, state):
        """Bring the interface there."""
        if state is not UNLOCKED:
            self.lock()
        if state is RUN:
            self.start()
        if state is ERROR:
            self.repoint()
        assert self.tdi.state is state
        return self


def error_of(answer):
    assert answer[1] == Message.ERROR and len(answer) == 24
    return Error(w.FAILED.parse(answer).code)


def test_messages_are_as_dmtfs_header_declares_them():
    sizes = {w.HEADER: 16, w.VERSIONS: 17, w.ASK_CAPABILITIES: 20, w.CAPABILITIES: 44, w.LOCK: 36, w.NONCED: 48, w.ASK_REPORT: 20, w.REPORT_PART: 20,
             w.STATE: 17, w.FAILED: 24, w.REPORT: 16, w.RANGE: 16}
    assert {layout.name: layout.size for layout in sizes} == {layout.name: size for layout, size in sizes.items()}
    tee = Tee()
    head = "100{:x}0000" + "20000000" + "00" * 8
    assert tee.ask(Message.GET_VERSION).hex() == head.format(1) + "0110"
    assert tee.ask(Message.GET_CAPABILITIES, w.ASK_CAPABILITIES).hex() == head.format(2) + "00000000" + "fe" + "00" * 15 + "0300" + "000000" + "34" + "0000"
    assert tee.ask(Message.GET_DEVICE_INTERFACE_STATE).hex() == head.format(5) + "00"
    locked = tee.lock()
    assert locked[:16].hex() == head.format(3) and len(set(locked[16:])) > 20 and tee.ask(Message.GET_DEVICE_INTERFACE_STATE)[16] == 1
    assert tee.start().hex() == head.format(6) and tee.ask(Message.GET_DEVICE_INTERFACE_STATE)[16] == 2
    assert tee.stop().hex() == head.format(7) and tee.ask(Message.GET_DEVICE_INTERFACE_STATE)[16] == 0
    assert tee.stop().hex() == "107f0000" + "20000000" + "00" * 8 + "04000000" + "00000000"


# What each request does in each state: the state after it, or the error with which nothing changes.  DMTF's device library.
TABLE = {
    "lock": (LOCKED, Error.INVALID_INTERFACE_STATE, Error.INVALID_INTERFACE_STATE, Error.INVALID_INTERFACE_STATE),
    "start": (Error.INVALID_INTERFACE_STATE, RUN, Error.INVALID_INTERFACE_STATE, Error.INVALID_INTERFACE_STATE),
    "stop": (Error.INVALID_INTERFACE_STATE, UNLOCKED, UNLOCKED, UNLOCKED),
    "report": (Error.INVALID_INTERFACE_STATE, LOCKED, RUN, Error.INVALID_INTERFACE_STATE),
    "repoint": (UNLOCKED, ERROR, ERROR, ERROR)}


@pytest.mark.parametrize("what", TABLE)
@pytest.mark.parametrize("state", State)
def test_every_request_in_every_state(what, state):
    tee = Tee().to(state)
    answer, after = getattr(tee, what)(), TABLE[what][state]
    if isinstance(after, Error):
        assert error_of(answer) is after and tee.tdi.state is state and tee.tdi.refused == 1
    else:
        assert (answer is None or answer[1] != Message.ERROR) and tee.tdi.state is after


# OpenVMM, vm/devices/tdisp/src/tests/statemachine_tests.rs: its requests bind, start and unbind on top, and where they lead.  There is no
# row for a wrong transition here: OpenVMM's host unbinds then, which is a STOP of its own making.
OPENVMM = {("bind",): LOCKED, ("bind", "start"): RUN, ("bind", "start", "unbind"): UNLOCKED, ("bind", "unbind"): UNLOCKED, ("bind", "unbind", "bind"): LOCKED,
           ("bind", "report"): LOCKED, ("bind", "start", "report"): RUN}
REFUSED = (("bind", "bind"), ("bind", "start", "bind"), ("start",), ("bind", "start", "start"), ("report",))


def openvmm(tee, request):
    return {"bind": tee.lock, "start": tee.start, "unbind": tee.stop, "report": tee.report}[request]()


@pytest.mark.parametrize("requests", OPENVMM)
def test_what_openvmms_host_is_allowed_is_allowed_here(requests):
    tee = Tee()
    for request in requests:
        assert openvmm(tee, request)[1] != Message.ERROR
    assert tee.tdi.state is OPENVMM[requests]


@pytest.mark.parametrize("requests", REFUSED)
def test_what_openvmms_host_is_refused_is_refused_here(requests):
    tee = Tee()
    for request in requests[:-1]:
        openvmm(tee, request)
    assert error_of(openvmm(tee, requests[-1])) is Error.INVALID_INTERFACE_STATE


def test_a_wrong_nonce_is_refused_and_the_right_one_works_once():
    tee = Tee().to(LOCKED)
    for wrong in (bytes(32), tee.nonce[:-1] + bytes([tee.nonce[-1] ^ 1]), tee.nonce[::-1]):
        assert error_of(tee.start(wrong)) is Error.INVALID_NONCE and tee.tdi.state is LOCKED
    tee.start()
    assert tee.tdi.state is RUN
    old = tee.nonce
    tee.stop()
    tee.lock()
    assert tee.nonce != old and error_of(tee.start(old)) is Error.INVALID_NONCE


@pytest.mark.parametrize("change", (
    lambda function: function.write(h.BAR0, 4, BASE + 0x10_0000),
    lambda function: function.write(h.BAR0 + 3, 1, 0xFD),
    lambda function: function.write(h.COMMAND, 2, h.COMMAND_MEMORY),
    lambda function: function.write(h.COMMAND, 2, h.COMMAND_MASTER),
    lambda function: function.reset()))
@pytest.mark.parametrize("state", (LOCKED, RUN))
def test_a_change_of_what_is_locked_is_an_error_that_changing_back_does_not_mend(change, state):
    tee = Tee().to(state)
    tee.function.write(h.INTERRUPT_LINE, 1, 9)              # is not locked
    tee.function.write(h.BAR0, 4, BASE)                     # is no change
    assert tee.tdi.state is state
    change(tee.function)
    assert tee.tdi.state is ERROR
    tee.function.write(h.BAR0, 4, BASE)
    tee.function.write(h.COMMAND, 2, MASTER)
    assert tee.tdi.state is ERROR and error_of(tee.start()) is Error.INVALID_INTERFACE_STATE
    tee.function.device.buffer[:6] = b"secret"
    assert tee.stop()[1] == Message.STOP_INTERFACE_RESPONSE and not any(tee.function.device.buffer)


def test_the_report_says_where_the_bars_answer_in_as_many_parts_as_one_likes():
    tee = Tee()
    tee.lock(mmio_offset=0x7000_0000)
    whole = w.REPORT_PART.parse(tee.report())
    assert (whole.length, whole.remainder, len(whole.report)) == (36, 0, 36)
    fixed, row = w.REPORT.parse(whole.report), w.RANGE.parse(whole.report, w.REPORT.size)
    assert (fixed.interface_info, fixed.ranges) == (w.NO_UPDATE_AFTER_LOCK | w.DMA_WITHOUT_PASID, 1)
    assert row == (BASE + 0x7000_0000 >> 12, 256, 0, 0)
    parts = [w.REPORT_PART.parse(tee.report(at, 9)) for at in range(0, 36, 9)]
    assert b"".join(part.report for part in parts) == whole.report and [part.remainder for part in parts] == [27, 18, 9, 0]
    for offset, length in ((36, 1), (0, 0), (65535, 65535)):
        assert error_of(tee.report(offset, length)) is Error.INVALID_REQUEST


def test_what_is_not_configured_or_not_offered_is_not_locked():
    assert error_of(Tee(configured=False).lock()) is Error.INVALID_DEVICE_CONFIGURATION
    for fields in ({"flags": w.LOCK_MSIX}, {"flags": w.BIND_P2P}, {"mmio_offset": 0x800}):
        tee = Tee()
        assert error_of(tee.lock(**fields)) is Error.INVALID_REQUEST and tee.tdi.state is UNLOCKED
    assert Tee().lock(flags=w.NO_FIRMWARE_UPDATE)[1] == Message.LOCK_INTERFACE_RESPONSE


@pytest.mark.parametrize("message, code", (
    (w.HEADER.pack(type=0x88, function_id=ID), Error.UNSUPPORTED_REQUEST), (w.HEADER.pack(type=0x01, function_id=ID), Error.UNSUPPORTED_REQUEST),
    (w.HEADER.pack(type=0x83, function_id=ID), Error.INVALID_REQUEST), (w.HEADER.pack(type=0x85, function_id=ID, body=b"\0"), Error.INVALID_REQUEST),
    (w.HEADER.pack(type=0x85, function_id=ID, version=0x11), Error.VERSION_MISMATCH), (w.HEADER.pack(type=0x85, function_id=ID + 1), Error.INVALID_INTERFACE),
    (w.HEADER.pack(type=0x85, function_id=ID | w.FUNCTION_VALID), Error.INVALID_INTERFACE)))
def test_what_is_no_request_is_answered_with_its_error(message, code):
    tee = Tee().to(RUN)
    assert error_of(tee.tdi.answer(message)) is code and tee.tdi.state is RUN


def test_any_message_gets_an_answer_and_no_state_but_the_four():
    rng, tee = random.Random(5), Tee()
    for _ in range(2000):
        message = bytearray(rng.choice((w.HEADER, w.LOCK, w.NONCED, w.ASK_REPORT)).pack(type=rng.randrange(0x81, 0x8C), function_id=ID))
        if rng.random() < 0.5:
            message[rng.randrange(len(message))] = rng.randrange(256)
        assert tee.tdi.answer(bytes(message + rng.randbytes(rng.randrange(3))))[0] == w.VERSION and tee.tdi.state in State
    with pytest.raises(ValueError, match="^TDISP_HEADER: 15 bytes, 16 needed$"):
        tee.tdi.answer(bytes(15))


class Ram:
    def __init__(self):
        self.bytes = bytearray(4 * 4096)

    def read(self, address, length):
        return bytes(self.bytes[address:address + length])

    def write(self, address, data):
        self.bytes[address:address + len(data)] = data


@pytest.mark.parametrize("state", (None, *State))
def test_a_private_page_is_a_trusted_devices_and_a_shared_one_any_devices(state):
    ram, log = Ram(), []
    memory = TrustedMemory(ram, None if state is None else Tee().to(state).tdi, lambda address: address >= 0x2000)
    memory.moved = lambda *what: log.append(what)
    memory.write(0x1000, b"shared")
    assert memory.read(0x1000, 6) == b"shared" and log == [(WRITE, 0x1000, 6), (READ, 0x1000, 6)]
    for reach in (lambda: memory.write(0x2FFF, b"private"), lambda: memory.read(0x1FFF, 2)):
        if state is RUN:
            reach()
        else:
            with pytest.raises(TranslationFault):
                reach()
    assert memory.refused == (0 if state is RUN else 2) and len(log) == (4 if state is RUN else 2)
    assert (ram.read(0x2FFF, 7) == b"private") is (state is RUN) and (any(ram.bytes[0x2000:]) is (state is RUN))
