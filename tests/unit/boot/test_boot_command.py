"""`vmio boot` as a shell runs it: files, statuses, the console, a keyboard."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.command_rig import posix, refused, vmio, with_source
from tests.unit.boot.test_boot_checkpoint import TICKS
from tests.unit.boot.test_ends import OFF, SLEEP, kernel, raw, say
from vmio.boot import command
from vmio.boot.run import Boot


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


def test_control_c_says_what_the_console_has_shown_last_where_nobody_has_seen_it(folder, monkeypatch, capsys):
    """The console's file stays what it was: it is replaced at the end of a run."""
    (folder / "console").write_text("old")

    def interrupted(boot):
        whole(boot)
        raise KeyboardInterrupt
    whole = Boot.run
    monkeypatch.setattr(Boot, "run", interrupted)
    for console, said in (([], "hello\n"), (["--console", str(folder / "console")], "the console's last lines:\n    hello\n")):
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        with pytest.raises(KeyboardInterrupt):
            command.run(parser.parse_args(["--kernel", str(folder / "vmlinuz"), *console]))
        assert capsys.readouterr() == ("", said)
    assert (folder / "console").read_text() == "old"


def at_a_terminal(folder, prompt, keys):
    """(status, what the terminal has shown) of a boot whose user types `keys` when `prompt` has been shown."""
    import pty
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "vmio", "boot", "--kernel", folder / "vmlinuz"], cwd=folder, env=with_source(),
                               stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    text = b""
    while prompt not in text:
        text += os.read(leader, 1024)
    os.write(leader, keys)
    with suppress(OSError):              # Linux: the other side has closed
        while more := os.read(leader, 4096):
            text += more
    os.close(leader)
    return process.wait(timeout=60), text


@posix
@pytest.mark.parametrize("code", [SLEEP, raw("ebfe")], ids=["asleep", "computing"])
def test_a_terminal_is_the_keyboard(folder, code):
    """Its key for leaving is heard by a guest that sleeps, and by one that never comes back to us."""
    (folder / "vmlinuz").write_bytes(kernel(say("# ") + code))
    status, text = at_a_terminal(folder, b"# ", b"\x1d")
    assert status == 0 and b"ended by its user: Ctrl-] was typed" in text and b"answered by" in text


@posix
def test_keys_come_in_order_and_as_they_are(folder):
    """A guest that waits for each by HLT, its UART's interrupt masked at the PIC, and looks every millisecond, as told by the PIT."""
    look = raw("66ba fd03 ec a801 7503 f4 ebf4 66ba f803 ec ee")
    (folder / "vmlinuz").write_bytes(kernel(TICKS + say("# ") + raw("fb") + look * 7 + OFF + SLEEP))
    status, text = at_a_terminal(folder, b"# ", b"ls\r\x03\x04\x1b[")
    assert status == 0 and b"# ls\r\x03\x04\x1b[" in text
