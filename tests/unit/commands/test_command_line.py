"""The command and its user's files: `python -m vmio` as a process of its own, as a shell runs it."""

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from vmio import __main__
from vmio.attacks.catalogue import attacks
from vmio.experiments import many

from tests.command_rig import DISK, command, names, posix, refused, vmio, with_source

SMALL = ["run", "--dma", "--bytes", "65536"]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.img"
    path.write_bytes(DISK)
    return path


# Inputs and outputs of `run`.


def test_save_over_the_image_is_refused_under_each_of_its_names(image):
    os.link(image, image.with_name("hard.img"))
    image.with_name("soft.img").symlink_to(image)
    for name in (image, image.with_name("hard.img"), image.with_name("soft.img"), image.parent / "." / "a.img"):
        refused(vmio(*SMALL, "--image", image, "--save", name), "same file as --image")
        refused(vmio(*SMALL, "--image", name, "--save", "a.img", cwd=image.parent, env=with_source()), "same file as --image")
    assert image.read_bytes() == DISK and names(image.parent) == ["a.img", "hard.img", "soft.img"]


def test_save_over_a_gzip_image_or_the_trace_is_refused(tmp_path, image):
    packed, trace = tmp_path / "a.img.gz", tmp_path / "t.csv"
    packed.write_bytes(gzip.compress(DISK))
    trace.write_text("time_us,op,lba,sectors\n0,R,0,8\n")
    before = packed.read_bytes()
    refused(vmio(*SMALL, "--image", packed, "--save", packed), "same file as --image")
    refused(vmio("run", "--trace", trace, "--image", image, "--save", trace), "same file as --trace")
    assert packed.read_bytes() == before and trace.read_text().startswith("time_us")


def test_save_beside_the_image_is_equal_to_it(image):
    done = vmio(*SMALL, "--image", image, "--save", image.with_name("b.img"), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["bytes_read"] == 65536
    assert image.with_name("b.img").read_bytes() == DISK and names(image.parent) == ["a.img", "b.img"]


@posix
def test_a_full_disk_leaves_the_old_result(image):
    """As `ulimit -f` has it: Python ignores SIGXFSZ, so that writing fails with EFBIG."""
    import resource
    old = image.with_name("out.img")
    old.write_text("the old result\n")
    done = vmio(*SMALL, "--image", image, "--save", old, stdin=subprocess.DEVNULL,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    refused(done, f"output {old}: File too large; what was there before is unchanged")
    assert old.read_text() == "the old result\n" and names(image.parent) == ["a.img", "out.img"]


@posix
def test_what_cannot_be_replaced_is_refused_before_the_run(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, why in (("fifo", "a FIFO"), (".", "a folder"), ("none/x", "there is no folder"), ("new/", "names a folder"),
                      ("", "--save: the name is empty"), ("/dev/zero", "a character device"), ("/dev/stdout", "standard output")):
        # The image is not there: it was not looked for.
        refused(vmio("run", "--image", "missing", "--save", name, cwd=tmp_path, env=with_source()), why)
    assert names(tmp_path) == ["fifo"] and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.parametrize("name, why", [("", "--image: the name is empty"), (".", "directory"), ("no\nsuch", r"image no\nsuch: No such file"),
                                       ("no such\udcff", r"image no such\udcff: No such file")])
def test_odd_names_of_inputs_end_in_one_line(name, why, tmp_path):
    if os.name == "posix" or "\udcff" not in name:
        refused(vmio("run", "--image", name, cwd=tmp_path, env=with_source()), why)
        refused(vmio("run", "--trace", name, cwd=tmp_path, env=with_source()), why.split(":")[0].split()[-1].replace("image", "trace"))


# Standard streams.


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_ends_it_quietly_and_a_full_device_with_a_sentence(tmp_path, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as gone, open("/dev/full", "wb") as full:
        for arguments in ([*SMALL, "--json"], ["--help"], ["--version"], ["attack", "--list"]):
            done = vmio(*arguments, stdout=gone, stderr=subprocess.PIPE)
            assert (done.returncode, done.stderr) == (141, "")
            done = vmio(*arguments, stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 2 and done.stderr.endswith(": standard output: No space left on device\n")
            assert done.stderr.count("\n") == 1
        done = vmio("run", "--mode", "none", stdout=subprocess.DEVNULL, stderr=full)
        assert done.returncode == 2


@posix
def test_closed_streams_are_nobodys_file(image):
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command(*SMALL, "--image", image, "--save", image.with_name("b.img"))]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "vmio run: standard output: it is closed\n")
    assert image.with_name("b.img").read_bytes() == DISK
    shell[2] = 'exec "$@" <&- 2>&-'
    done = subprocess.run([*shell, "--json"], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["requests"] == 16
    shell[4:] = command("run", "--image", "missing")
    assert subprocess.run(shell, stdout=subprocess.PIPE).stdout == b""


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_json_is_whole_or_not_there(tmp_path, unbuffered, monkeypatch):
    import resource
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    out = tmp_path / "out.json"
    with open(out, "ab") as stream:
        stream.write(b"before\n")
        stream.flush()
        done = vmio(*SMALL, "--json", stdout=stream, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
    assert (done.returncode, done.stderr) == (2, "vmio run: standard output: File too large\n")
    assert out.read_bytes() == b"before\n"
    out.write_bytes(b"12345678" * 20)
    with open(out, "r+b") as stream:      # not at its end: what follows is the user's
        done = vmio(*SMALL, "--json", stdout=stream, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
    assert done.returncode == 2 and out.read_bytes()[100:] == (b"12345678" * 20)[100:]


def test_not_enough_memory_is_a_sentence(tmp_path):
    code = ("from vmio import __main__\ndef _run(args): raise MemoryError\n__main__._run = _run\n"
            "import sys; sys.exit(__main__.main(['run']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    refused(done, "vmio run: there is not enough memory")


# Signals.


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_attack_with_a_sentence_and_its_status(number):
    with subprocess.Popen(command("attack"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_handlers(process)
        wait_for_work(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, f"vmio attack: ended by {number.name}\n")
    ended = [line.split()[0] for line in out.splitlines()[2:]]      # what was done by then is shown; the header stands above it
    assert set(ended) < set(attacks()) and bool(ended) == bool(out)


def wait_for_work(process):
    """Until the process has begun others, who do its work, or, on one core, has taken 0.6 s of CPU time: it is not over then (that takes it over 10 s)."""
    if many.cores() > 1:
        wait_for(process, f"task/{process.pid}/children", str.strip)
    else:
        wait_for(process, "stat", lambda text: sum(map(int, text.rpartition(")")[2].split()[11:13])) > 0.6 * os.sysconf("SC_CLK_TCK"))


def wait_for_handlers(process):
    """Until the process catches SIGTERM: before that an interpreter starts, which is none of ours."""
    wait_for(process, "status", lambda text: int(text.partition("SigCgt:")[2].split()[0], 16) >> signal.SIGTERM - 1 & 1)


def wait_for(process, name, condition):
    """Until what Linux says of a process in /proc meets a condition, or it has ended."""
    pause = threading.Event()
    while process.poll() is None:
        with open(f"/proc/{process.pid}/{name}", encoding="ascii", errors="replace") as about:
            if condition(about.read()):
                return
        pause.wait(0.01)


@posix
def test_a_signal_within_a_finalizer_is_not_lost():
    code = """
import os, signal, time, weakref
from vmio import console

class Thing: pass

def command():
    thing = Thing()
    keep = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing                   # the callback swallows whatever is raised in it
    for _ in range(500):
        time.sleep(0.01)

raise SystemExit(console.run("a command", command))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "a command: ended by SIGINT\n")


@posix
def test_a_signal_at_any_time_leaves_the_old_file_or_the_whole_new_one(image):
    out, pause = image.with_name("out.img"), threading.Event()
    for tenths in range(6):
        out.write_text("old")
        process = subprocess.Popen(command(*SMALL, "--image", image, "--save", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_handlers(process)
        pause.wait(tenths / 10)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode in (0, 130, -signal.SIGINT) and "Traceback" not in said
        assert out.read_bytes() in ((b"old", DISK) if process.returncode else (DISK,))
        assert names(image.parent) == ["a.img", "out.img"]


@posix
def test_an_ignored_signal_stays_ignored():
    done = subprocess.run(["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c",
                           "import os, signal, sys\nfrom vmio import console\n"
                           "sys.exit(console.run('x', lambda: os.kill(os.getpid(), signal.SIGINT)))"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_handlers_are_given_back():
    from vmio.__main__ import main
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["run", "--image", "no such file"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def parsers(parser):
    """A parser and those of all its commands, each command's too."""
    yield parser
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for one in action.choices.values():
            yield from parsers(one)


@pytest.mark.parametrize("device", __main__._RUNS)
def test_every_command_has_a_help(device):
    helps = [one.format_help() for one in parsers(__main__._parser(device))]
    assert len(helps) > 15 and all(text.startswith("usage: ") for text in helps)
    assert not [text for text in helps if "%%" in text or "%(" in text]
