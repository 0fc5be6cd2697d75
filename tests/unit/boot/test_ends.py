"""Whatever a kernel does, its boot has an end that says why: kernels of a few instructions."""

import struct

import pytest

from tests.kernel_file import kernel_file
from vmio.boot.params import BootParams
from vmio.boot.run import boot
from vmio.firmware.boot_wire import ENTRY_64


def raw(text):
    return bytes.fromhex(text.replace(" ", ""))


def kernel(code):
    """A bzImage whose 64-bit entry is `code`."""
    return kernel_file(bytes(ENTRY_64) + code + b"\xf4" * (-len(code) % 16), cmdline_size=1023)


def say(text):
    """OUT to COM1, character by character."""
    return raw("66ba f803") + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text.encode())


def run(code, **params):
    return boot(BootParams(**{"timeout": 60, **params}), kernel(code))


OFF = raw("66ba 0406 66b8 0020 66ef")            # OUT 604h, AX: soft off
SLEEP = raw("b0ff e621 fb f4 ebfc")             # all of the PIC masked


def test_switched_off():
    result = run(say("hello\r\n") + OFF + SLEEP)
    assert (result.end.reason, result.console_text, result.good) == ("power off", "hello\n", True)
    assert result.by("device") == {"uart": 7, "power": 1} and result.exits == 8


def test_the_text_that_was_waited_for():
    result = run(say("one\ntwo\nthree\n") + OFF + SLEEP, until="two")
    assert (result.end.reason, result.console, result.good) == ("until", b"one\ntwo", True)
    other = run(say("one\n") + OFF + SLEEP, until="two")
    assert (other.end.reason, other.good, other.last_lines) == ("power off", False, ["one"])


@pytest.mark.parametrize("code", [raw("b0fe e664"), raw("66ba f90c b006 ee"), raw("b001 e692")], ids=["keyboard", "CF9h", "port 92h"])
def test_reset(code):
    result = run(code + SLEEP)
    assert result.end.reason == "reset" and result.good


def test_a_panic_is_told_by_its_first_line():
    text = "[    1.0] Kernel panic - not syncing: no init\r\n---[ end Kernel panic - not syncing: no init ]---\r\n"
    result = run(say(text) + raw("ebfe"))
    assert (result.end, result.good) == (("panic", "Kernel panic - not syncing: no init"), False)
    restarted = run(say(text.splitlines()[0] + "\n") + raw("b0fe e664") + SLEEP)
    assert restarted.end.reason == "panic"


@pytest.mark.parametrize("code", [raw("ebfe"), raw("48ff042500000800 ebf6"), raw("50 58 ebfc")])
def test_a_loop_without_an_end_is_stopped_by_the_clock_on_the_wall(code):
    result = run(say("on my way\n") + code, timeout=1)
    assert result.end == ("timeout", "it still ran after 1 s on the wall") and not result.good
    assert result.sentence().endswith("the console's last lines:\n    on my way")


def test_virtual_time_has_an_end_too():
    result = run(raw("0f31 ebfc"), virtual_timeout=3)
    assert result.end == ("virtual timeout", "it still ran after 3 ms of virtual time") and result.virtual_ns == 3_000_000


def test_asleep_for_ever():
    result = run(SLEEP, timeout=1)
    assert result.end.reason == "timeout" and result.by("reason") == {"IO_INSTRUCTION": 1, "HLT": 1}
    masked = run(raw("fa f4"))
    assert masked.end.reason == "halted" and "interrupts off" in masked.end.text
    assert "nothing: is console=ttyS0 on the command line" in masked.sentence()


def test_a_triple_fault():
    result = run(raw("0f0b"))
    assert result.end.reason == "triple fault" and result.sentence().startswith("triple fault: vector 6 at RIP 0x200200, CR2 0x0: the guest's tables lead to no handler")


def test_a_triple_fault_is_also_a_way_to_begin_anew():
    """As Linux does with reboot=triple, after it has said goodbye: a PC resets."""
    assert run(say("[    1.0] reboot: Restarting system\r\n") + raw("0f0b")).good
    assert not run(say("hello\r\n") + raw("0f0b")).good


def test_code_where_no_memory_is():
    result = run(raw("48b8 00000000 01000000 ffe0"))          # JMP to 4 GiB: no page table entry, and no IDT
    assert result.end.reason == "triple fault"
    device = run(raw("b8 000000f0 ffe0"))                      # in the hole for devices
    assert device.end.reason == "processor stopped"


def test_too_little_memory():
    with pytest.raises(ValueError, match="^RAM: 32 MiB; kernel kernel needs at least"):
        boot(BootParams(memory=32), kernel_file(init_size=64 << 20))
    with pytest.raises(ValueError, match="^memory 8: 32 to 3,072$"):
        boot(BootParams(memory=8), kernel(OFF))


@pytest.mark.parametrize("modes, platform, why", [
    (("floppy",), "hyper-v", "mode 'floppy': choose one of emulated, split, nvme, passthrough, vpci, all"),
    (("split", "all"), "hyper-v", "mode split: given twice"), (("split",), "pc", "mode split: needs platform hyper-v"),
    (("vpci",), "pc", "mode vpci: needs platform hyper-v"), (("vpci", "all"), "hyper-v", "mode vpci: not beside passthrough"),
    (("emulated",), "pc", "mode emulated: no effect without a disk")])
def test_modes_that_cant_be(modes, platform, why):
    with pytest.raises(ValueError, match=why):
        boot(BootParams(modes=modes, platform=platform), kernel(OFF))


@pytest.mark.parametrize("params, why", [
    (dict(services=True, platform="pc"), "services: need platform hyper-v"), (dict(shutdown=5), "shutdown 5: no effect without services"),
    (dict(services=True, shutdown=0), "shutdown 0: 1 to 86,400,000")])
def test_services_that_cant_be(params, why):
    with pytest.raises(ValueError, match=why):
        boot(BootParams(**params), kernel(OFF))


def test_a_guest_without_its_half_of_the_service_is_asked_for_nothing():
    result = run(SLEEP, services=True, shutdown=1, virtual_timeout=1_000)
    assert result.end.reason == "virtual timeout" and result.virtual_ns == 1_000_000_000


def test_phases_begin_at_marks():
    result = run(say("VMIO-MARK one\n") + raw("e480 e480") + say("VMIO-MARK two\n") + raw("e671") + OFF + SLEEP)
    assert [(phase.name, phase.exits(("uart",))) for phase in result.phases] == [("power-on", 0), ("one", 2), ("two", 2)]
    assert result.phase("one").by("instruction", ("uart",)) == {"IN": 2} and sum(phase.ns for phase in result.phases) == result.virtual_ns
    with pytest.raises(KeyError, match="choose one of power-on, one, two"):
        result.phase("three")


def test_a_message_of_the_kernels_that_is_shown_again_begins_no_phase_again():
    one, two, plain = "[    0.000100] VMIO-MARK one\r\n", "[    0.000200] VMIO-MARK one\r\n", "VMIO-MARK bare\n"
    result = run(say(one + two + "<1>" + one + two + "   " + one.replace("\r", "") + plain + plain) + OFF + SLEEP)
    assert [phase.name for phase in result.phases] == ["power-on", "one", "one", "bare", "bare"]


def test_answers_are_typed():
    wait = raw("66ba fd03 ec a801 74fb 66ba f803 ec ee")       # read a character when it is there, and send it
    result = boot(BootParams(timeout=60), kernel(say("# ") + wait * 3 + OFF + SLEEP), answers=[("# ", "ls\n")])
    assert result.console == b"# ls\n"


def test_what_proc_interrupts_says():
    text = "           CPU0       \n  0:         15    XT-PIC      timer\nHYP:         72   Hypervisor callback interrupts\nERR:          0\nfoo\n"
    result = run(say(text) + OFF + SLEEP)
    assert result.interrupts() == {"0": (15, "XT-PIC      timer"), "HYP": (72, "Hypervisor callback interrupts"), "ERR": (0, "")}


def test_two_runs_are_one():
    code = say("VMIO-MARK a\n") + raw("0f31 f390 e480") + OFF + SLEEP
    first, second = run(code), run(code)
    assert first.to_dict() == second.to_dict() and struct.calcsize("P") == 8
