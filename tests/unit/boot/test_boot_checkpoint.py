"""A booted machine in a file: it goes on as if nobody had been there, or is refused with a sentence.  Kernels of a few instructions."""

import json
import struct

import pytest

from tests.command_rig import refused, vmio, with_source
from tests.unit.boot.test_ends import OFF, SLEEP, kernel, raw
from vmio.boot import checkpoint
from vmio.boot.params import BootParams
from vmio.boot.run import Boot
from vmio.machine import checkpoint_file
from vmio.machine.checkpoint import CheckpointRefused
from vmio.machine.storage import Image


def say(text):
    """OUT to COM1; behind each character a JMP, so that the translator can be left: else it is at the next access to memory."""
    return raw("66ba f803") + b"".join(b"\xb0" + bytes([byte]) + raw("ee eb00") for byte in text.encode())


# Registers of each kind get values that no reset gives them; then comes text; then all of them go to COM1, 8 bytes each.
RAX_OUT = raw("66ba f803 b9 08000000 ee 48c1e808 e2f9")
FILL = (raw("48bb 8877665544332211 49bd 1020304050607080") +                     # RBX, R13
        raw("48b8 efcdab8967452301 66480f6ed8") +                               # XMM3
        raw("d9eb d9c0 dec1 d9ee") +                                             # x87: twice pi, and 0 above it
        raw("48b8 7856341200000000 0f23c8") +                                    # DR1
        raw("b9 020100c0 b8 78563412 ba 0080ffff 0f30") +                        # GS's other base, an MSR of the processor's own
        raw("f9 fd"))                                                            # CF and DF
SHOW = (raw("9c 58") + RAX_OUT +                                                 # RFLAGS
        raw("4889d8") + RAX_OUT + raw("4c89e8") + RAX_OUT + raw("66480f7ed8") + RAX_OUT +
        raw("ddd8 dd1c2500800000 488b042500800000") + RAX_OUT +                  # the 0 away, the other into memory
        raw("0f21c8") + RAX_OUT + raw("b9 020100c0 0f32") + RAX_OUT + raw("0f31") + RAX_OUT)
# An IDT at 9000h whose gate 32, the PIC's first, is EOI and IRET at 7000h; the PIT each 1 ms.  PUSH makes the gate, CS is what we run with.
TICKS = raw(
    "c70425 00700000 b020e620 66c70425 04700000 48cf"                        # 7000h: MOV AL, 20h; OUT 20h, AL; IRETQ
    "66c70425 00920000 0070 668c0c25 02920000 66c70425 04920000 008e 66c70425 06920000 0000"
    "c70425 08920000 00000000 c70425 0c920000 00000000"
    "66c70425 f08f0000 ff0f 48c70425 f28f0000 00900000 0f011c25 f08f0000"   # LIDT
    "b011e620 b020e621 b004e621 b001e621 b0fee621"                           # the PIC: vectors from 32 on, IRQ 0 only
    "b034e643 b0a9e640 b004e640")                                            # the PIT: 1,193 counts, again and again
PROGRAM = FILL + say("abcdefgh\nVMIO-MARK shown\n") + SHOW + say("\nVMIO-MARK over\n") + raw("e480 e480") + OFF + SLEEP
WANTED = (0x1122_3344_5566_7788, 0x8070_6050_4030_2010, 0x0123_4567_89AB_CDEF, 0x4019_21FB_5444_2D18, 0x1234_5678, 0x1234_5678)


def start(code=PROGRAM, keep=None, medium=None, **params):
    return Boot(BootParams(**{"timeout": 60, "memory": 32, **params}), kernel(code), medium=medium, keep=keep)


def kept(code=PROGRAM, until="c", **more):
    boot = start(code, checkpoint.saved, until=until, **more)
    result = boot.run()
    assert result.end == ("until", f"the console has shown {until!r}, and the machine is kept") and result.good, boot.refused
    return boot.kept


def same(first, second):
    assert first.to_dict() == second.to_dict()
    assert (first.console, first.rows, first.phases, first.vectors) == (second.console, second.rows, second.phases, second.vectors)


@pytest.mark.parametrize("platform", ["hyper-v", "pc"])
def test_it_goes_on_with_all_registers_as_if_nobody_had_been_there(platform, tmp_path):
    undisturbed = start(platform=platform).run()
    at = undisturbed.console.index(b"shown\n") + 6
    flags, *found, _ = struct.unpack("<8Q", undisturbed.console[at:at + 64])
    assert undisturbed.end.reason == "power off" and flags & 0x401 == 0x401 and tuple(found) == WANTED
    for until in ("a", "h", "shown", "over\n"):
        checkpoint_file.write(tmp_path / "kept", kept(until=until, platform=platform))
        boot = checkpoint.restored(checkpoint_file.read(tmp_path / "kept"), timeout=60)
        assert boot.console.text.endswith(until) and boot.params.platform == platform
        same(boot.run(), undisturbed)


def test_a_restored_machine_can_be_kept_again():
    again = checkpoint.restored(kept(until="c"), keep=checkpoint.saved, until="g", timeout=60)
    assert again.run().end.reason == "until"
    same(checkpoint.restored(again.kept, timeout=60).run(), start().run())


def test_to_be_kept_costs_the_guest_nothing():
    """It is saved where it stands: what was counted until then is what was counted until then."""
    boot = start(keep=checkpoint.saved, until="defgh")
    counted = boot.run()
    plain = start(until="defgh").run()
    assert counted.rows == plain.rows and counted.virtual_ns == plain.virtual_ns


def test_each_run_is_told_anew_when_it_ends():
    state = kept(until="c", virtual_timeout=5_000)
    assert checkpoint.restored(state, until="fg", timeout=60).run().console == b"abcdefg"
    loop = kept(say("abc") + raw("0f31 ebfc"), virtual_timeout=5_000)
    result = checkpoint.restored(loop, virtual_timeout=3, timeout=60).run()
    assert result.end.reason == "virtual timeout" and 3_000_000 <= result.virtual_ns < 3_100_000


DISK = bytes(range(256)) * 4096


def test_its_disk_must_be_the_one():
    state = kept(medium=Image.open(DISK), modes=("emulated", "nvme"))
    same(checkpoint.restored(state, Image.open(DISK), timeout=60).run(), start(medium=Image.open(DISK), modes=("emulated", "nvme")).run())
    for medium, why in ((None, "booted with a disk, which must be there"), (Image.open(DISK[:-512]), "disk"),
                        (Image.open(DISK[:-1] + b"x"), "disk \\(size, and SHA-256")):
        with pytest.raises(CheckpointRefused, match=why):
            checkpoint.restored(state, medium)
    with pytest.raises(CheckpointRefused, match="booted without a disk"):
        checkpoint.restored(kept(), Image.open(DISK))


def changed(state, *path, to):
    """A copy of a state with another value at the end of the path."""
    if not path:
        return to(state) if callable(to) else to
    copy = dict(state) if isinstance(state, dict) else list(state)
    copy[path[0]] = changed(copy[path[0]], *path[1:], to=to)
    return copy


@pytest.mark.parametrize("path, to, why", [
    (("version",), 1, "version 1; version 2 can be read"), (("params", "memory"), 8, "memory 8: 32 to 3,072"),
    (("params", "modes"), ["floppy"], "mode 'floppy'"), (("params", "memory"), 512, "plan"), (("params", "platform"), "pc", "board: unknown entry .local APIC."),
    (("processor", "unicorn"), "2.2.0", "version of Unicorn: saved with '2.2.0', here it is '2.1.4'"),
    (("processor", "registers", 0), lambda data: data[:-8], "bytes of registers"),
    (("processor", "registers", 1), lambda data: bytes(len(data)), "not those of a guest of ours"),
    (("processor", "registers", 0), lambda data: bytes(len(data)), "not those of a guest of ours"),
    (("machine", "host", "memory", "runs", 0, 2), b"no zlib", "can't be unpacked"),
    (("machine", "host", "memory", "runs", 0, 1), 1 << 33, "memory of more than"),
    (("machine", "host", "memory", "runs", 0, 1), 1 << 30, "bytes of memory at"),
    (("machine", "host", "memory", "runs", 0, 0), 1 << 40, "damaged"), (("machine",), [], "damaged"),
    (("marks",), [["x"]], "damaged"), (("console",), {}, "version None")])
def test_what_was_never_kept_is_refused(path, to, why):
    with pytest.raises(CheckpointRefused, match=why):
        checkpoint.restored(changed(kept(), *path, to=to))


def test_what_cant_be_saved_now_is_tried_again_when_the_guest_has_slept():
    """Hardware breakpoints are kept by pointers: with one on there is no checkpoint, once it is off there is."""
    on, off = raw("b8 01000000 0f23f8"), raw("31c0 0f23f8")
    boot = start(on + say("abc") + OFF + SLEEP, checkpoint.saved, until="b")
    result = boot.run()
    assert boot.kept is None and result.end.reason == "power off" and not result.good
    assert boot.refused.endswith(" ns: guest linux has set hardware breakpoints (DR7), which can't be saved")
    assert kept(on + off + say("abc") + OFF + SLEEP, until="b")
    attempts = []

    def keep(boot):
        attempts.append(boot.cpu.now)
        if len(attempts) < 3:
            raise CheckpointRefused("not now")
        return checkpoint.saved(boot)
    nap = TICKS + say("abcdef") + raw("fb f4") * 4 + say("xyz") + OFF + SLEEP
    boot = start(nap, keep, until="c")
    assert boot.run().good and boot.kept and len(attempts) == 3 and boot.console.text == "abcdef"
    same(checkpoint.restored(boot.kept, timeout=60).run(), start(nap).run())


def test_where_it_is_kept_must_be_said():
    with pytest.raises(ValueError, match="^checkpoint: at which text"):
        start(keep=checkpoint.saved)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(kernel(PROGRAM))
    (tmp_path / "disk.img").write_bytes(DISK)
    return tmp_path


def boot(folder, *arguments):
    return vmio("boot", "--timeout", "60", *arguments, cwd=folder, env=with_source())


def test_the_command_keeps_and_goes_on(folder):
    whole = json.loads(boot(folder, "--kernel", "vmlinuz", "--disk", "disk.img", "--json").stdout)
    first = boot(folder, "--kernel", "vmlinuz", "--disk", "disk.img", "--until", "def", "--checkpoint", "kept")
    assert first.returncode == 0 and first.stderr == "abcdef\nuntil: the console has shown 'def', and the machine is kept\n"
    done = boot(folder, "--restore", "kept", "--disk", "disk.img", "--json")
    assert done.returncode == 0 and done.stderr.startswith("abcdefgh\n") and json.loads(done.stdout) == whole
    second = boot(folder, "--restore", "kept", "--disk", "disk.img", "--until", "gh", "--checkpoint", "later")
    assert second.returncode == 0 and json.loads(boot(folder, "--restore", "later", "--disk", "disk.img", "--json").stdout) == whole


def test_the_command_refuses(folder):
    assert boot(folder, "--kernel", "vmlinuz", "--until", "def", "--checkpoint", "kept").returncode == 0
    before = (folder / "kept").read_bytes()
    for arguments, why in (
            (("--kernel", "vmlinuz", "--checkpoint", "x"), "--checkpoint x: at which text? --until TEXT says"),
            (("--kernel", "vmlinuz", "--checkpoint", "vmlinuz", "--until", "x"), "the same file as --kernel"),
            (("--restore", "kept", "--checkpoint", "kept", "--until", "x"), "the same file as --restore"),
            (("--restore", "kept", "--kernel", "vmlinuz"), "--kernel: no effect with --restore kept"),
            (("--restore", "kept", "--run", "ls"), "--run: no effect"), (("--restore", "kept", "--mode", "split"), "--mode: no effect"),
            (("--restore", "kept", "--memory", "512"), "--memory: no effect"), (("--restore", "kept", "--no-clock-page"), "--no-clock-page: no effect"),
            (("--restore", "kept", "--append", "x"), "--append: no effect"), (("--restore", "kept", "--disk", "disk.img"), "booted without a disk"),
            (("--restore", "nowhere"), "checkpoint nowhere: it can't be read"), (("--restore", "vmlinuz"), "it is none")):
        refused(boot(folder, *arguments), why)
    (folder / "cut").write_bytes(before[:-100])
    refused(boot(folder, "--restore", "cut"), "it is not whole")
    (folder / "other").write_bytes(before[:-3] + b"5" + before[-2:])
    refused(boot(folder, "--restore", "other"), "it has been altered")
    assert (folder / "kept").read_bytes() == before


def test_a_file_that_was_there_stays_when_nothing_is_kept(folder):
    (folder / "kept").write_text("old")
    done = boot(folder, "--kernel", "vmlinuz", "--until", "login:", "--checkpoint", "kept")
    assert done.returncode == 1 and (folder / "kept").read_text() == "old"
    assert done.stderr.endswith("--checkpoint kept: nothing was kept\n")
