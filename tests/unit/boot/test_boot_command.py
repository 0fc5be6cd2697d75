"""`vmio boot` as a shell runs it: files, statuses, the console, a keyboard."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.command_rig import posix, refused, vmio, with_source
from tests.unit.boot.test_ends import OFF, SLEEP, kernel, raw, say


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(kernel(say("hello\n") + OFF + SLEEP))
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    return tmp_path


def boot(folder, *arguments):
    return vmio("boot", "--kernel", folder / "vmlinuz", "--timeout", "60", *arguments, cwd=folder, env=with_source())


def test_counts_as_json_and_the_console_on_standard_error(folder):
    done = boot(folder, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr.startswith("hello\n") and "power off: the guest has switched itself off" in done.stderr
    assert {name: result[name] for name in ("schema", "ended", "exits_total", "exits", "exits_by_device", "console_bytes")} == {
        "schema": "vmio.boot/1", "ended": "power off", "exits_total": 7, "exits": {"IO_INSTRUCTION": 7},
        "exits_by_device": {"uart": 6, "power": 1}, "console_bytes": 6}
    assert result["console_sha256"] == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"


def test_the_console_in_a_file_is_replaced_at_the_end(folder):
    (folder / "console").write_text("old")
    done = boot(folder, "--console", "console")
    assert done.returncode == 0 and (folder / "console").read_bytes() == b"hello\n" and "hello" not in done.stderr
    assert done.stdout.startswith("7 exits in ")
    refused(boot(folder, "--console", "vmlinuz"), "it is the same file as --kernel")
    assert (folder / "vmlinuz").stat().st_size > 1000


def test_what_did_not_end_as_it_was_asked_to_is_status_1(folder):
    done = boot(folder, "--until", "login:", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["ended"] == "power off"
    assert done.stderr.endswith("the console's last lines:\n    hello\n")
    assert boot(folder, "--until", "hell").returncode == 0


@pytest.mark.parametrize("arguments, why", [
    (("--kernel", "disk.img"), "no kernel"), (("--kernel", "nowhere"), "--kernel nowhere: No such file"), (("--initrd", "."), "--initrd .: Is a directory"),
    (("--mode", "split"), "mode split: no effect without a disk"), (("--disk", "disk.img", "--mode", "split", "--platform", "pc"), "needs platform hyper-v"),
    (("--net", "split", "--platform", "pc"), "net split: needs platform hyper-v"),
    (("--memory", "8"), "memory 8: 32 to 3,072"), (("--disk", "nowhere"), "nowhere"), (("--kernel", ""), "--kernel: the name is empty"),
    (("--append", "x" * 3000), "command line"), (("--append", "caf\u00e9"), "printable ASCII")])
def test_refused_with_a_sentence(folder, arguments, why):
    refused(boot(folder, *arguments), why)


def test_a_truncated_kernel(folder):
    whole = (folder / "vmlinuz").read_bytes()
    (folder / "vmlinuz").write_bytes(whole[:-64])
    refused(boot(folder), "truncated")


@posix
def test_control_c_ends_a_guest_that_never_exits(folder):
    (folder / "vmlinuz").write_bytes(kernel(say("on my way\n") + raw("ebfe")))
    process = subprocess.Popen([sys.executable, "-m", "vmio", "boot", "--kernel", folder / "vmlinuz"], cwd=folder, env=with_source(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "on my way" not in process.stderr.readline():
        pass
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "SIGINT" in err


@posix
def test_a_terminal_is_the_keyboard(folder):
    import pty
    (folder / "vmlinuz").write_bytes(kernel(say("# ") + SLEEP))
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "vmio", "boot", "--kernel", folder / "vmlinuz"], cwd=folder, env=with_source(),
                               stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    text = b""
    while b"# " not in text:
        text += os.read(leader, 1024)
    os.write(leader, b"\x1d")
    with suppress(OSError):              # Linux: the other side has closed
        while more := os.read(leader, 4096):
            text += more
    os.close(leader)
    assert process.wait(timeout=60) == 0 and b"ended by its user: Ctrl-] was typed" in text
