"""The command and its user's files: `python -m vmio` as a process of its own, as a shell runs it."""

import gzip
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="signals and files of these kinds are Unix's")
SMALL = ["run", "--dma", "--bytes", "65536"]
DISK = b"".join(lba.to_bytes(8, "little") * 64 for lba in range(8192))     # 4 MiB, no sector like another


def command(*arguments):
    return [sys.executable, "-m", "vmio", *map(os.fspath, arguments)]


def vmio(*arguments, **options):
    """The finished process; what it says is text."""
    return subprocess.run(command(*arguments), capture_output="stdout" not in options, text=True, timeout=300, **options)


def refused(done, why):
    """Exit status 2, nothing on standard output, one line that says why."""
    assert (done.returncode, done.stdout or "") == (2, "")
    line, = done.stderr.splitlines()
    assert line.startswith("vmio ") and why in line, line


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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


def with_source():
    """An environment in which `python -m vmio` is this one from any folder."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {**os.environ, "PYTHONPATH": here}


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
        for arguments in ([*SMALL, "--json"], ["--help"], ["attack", "--list"]):
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
        wait_for_work(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, "", f"vmio attack: ended by {number.name}\n")


def wait_for_work(process):
    """Until the process has taken 0.6 s of CPU time: it has started, and is not over (that takes it over 10 s)."""
    pause, ticks = threading.Event(), os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as about:
            if sum(map(int, about.read().rpartition(")")[2].split()[11:13])) > 0.6 * ticks:
                return
        pause.wait(0.02)


@posix
def test_a_signal_at_any_time_leaves_the_old_file_or_the_whole_new_one(image):
    out, pause = image.with_name("out.img"), threading.Event()
    for tenths in (1, 3, 4, 5, 6):
        out.write_text("old")
        process = subprocess.Popen(command(*SMALL, "--image", image, "--save", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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


# The oracle door's socket and log.


@posix
def test_a_socket_replaces_no_file_of_another_kind(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "soft").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for name, why in (("file", "an ordinary file"), ("soft", "an ordinary file"), ("fifo", "a FIFO"), (".", "a folder"),
                      ("none/s", "No such file"), ("file/s", "Not a directory"), ("x" * 120, "path too long"), ("", "name is empty")):
        refused(vmio("qtest", "--unix", name, cwd=tmp_path, env=with_source(), stdin=subprocess.DEVNULL), why)
    assert (tmp_path / "file").read_text() == "precious" and names(tmp_path) == ["fifo", "file", "soft"]


@posix
def test_a_socket_of_another_type_stays(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "s"))
        refused(vmio("qtest", "--unix", tmp_path / "s"), "wrong type")
        assert names(tmp_path) == ["s"]


@posix
@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("end", ["client leaves", signal.SIGTERM, signal.SIGINT])
def test_a_dead_socket_is_replaced_and_ours_removed_at_the_end(tmp_path, end, link):
    name = path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    if link:
        name = tmp_path / "link"
        name.symlink_to("s")
    process = subprocess.Popen(command("qtest", "--unix", name), stderr=subprocess.PIPE, text=True)
    with served(path) as peer, peer.makefile("rw") as lines:
        lines.write("inb 0x3fd\n")
        lines.flush()
        assert lines.readline() == "OK 0x0060\n" and path.is_socket()
        if end != "client leaves":
            process.send_signal(end)
            assert process.wait(60) == 128 + end
    said = process.communicate(timeout=60)[1]
    assert said == ("" if end == "client leaves" else f"vmio qtest: ended by {end.name}\n")
    assert names(tmp_path) == (["link"] if link else [])


@posix
def test_a_socket_is_removed_when_nobody_came(tmp_path):
    process = subprocess.Popen(command("qtest", "--unix", tmp_path / "s"), stderr=subprocess.PIPE, text=True)
    pause = threading.Event()
    while not (tmp_path / "s").exists():
        assert process.poll() is None
        pause.wait(0.02)
    process.terminate()
    assert process.communicate(timeout=60)[1] == "vmio qtest: ended by SIGTERM\n" and names(tmp_path) == []


@posix
def test_what_took_the_place_of_our_socket_stays(tmp_path):
    path = tmp_path / "s"
    first = subprocess.Popen(command("qtest", "--unix", path))
    with served(path) as one:
        one.sendall(b"inb 0x3fd\n")
        assert one.recv(99) == b"OK 0x0060\n"       # it has stopped listening
        second = subprocess.Popen(command("qtest", "--unix", path))
        with served(path) as two:
            one.close()
            assert first.wait(60) == 0 and path.is_socket()
            two.sendall(b"inb 0x3fd\n")
            assert two.recv(99) == b"OK 0x0060\n"
        assert second.wait(60) == 0 and names(tmp_path) == []


def served(path):
    """A client's socket, as soon as somebody listens at `path`."""
    pause = threading.Event()
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
            return client
        except OSError:
            client.close()
            pause.wait(0.02)


@posix
def test_a_log_is_no_input_and_no_second_output(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(DISK)
    (tmp_path / "soft").symlink_to("disk")
    for arguments, why in ((["--drive", path, "--serial", tmp_path / "soft"], "same file as --drive"),
                           (["--unix", tmp_path / "s", "--serial", tmp_path / "." / "s"], "the socket is to be there"),
                           (["--serial", "/dev/stdout"], "standard output"), (["--serial", tmp_path], "a folder")):
        refused(vmio("qtest", *arguments, stdin=subprocess.DEVNULL), why)
    with open(path, "rb") as commands:
        refused(vmio("qtest", "--serial", path, stdin=commands), "standard input")
    assert path.read_bytes() == DISK and names(tmp_path) == ["disk", "soft"]


def test_a_log_replaces_an_old_one_when_the_door_closes(tmp_path):
    log = tmp_path / "log"
    for commands, holds in (("", "old"), ("outb 0x80 65\n", "old"), ("outb 0x3f8 65\n", "A"), ("outb 0x3f8 66\n", "B")):
        if holds == "old":
            log.write_text("old")
        done = vmio("qtest", "--serial", log, input=commands)
        assert (done.returncode, done.stderr, log.read_text()) == (0, "", holds)
    refused(vmio("qtest", "--serial", log, "--drive", tmp_path / "none", input="outb 0x3f8 66\n"), "No such file")
    assert log.read_text() == "B" and names(tmp_path) == ["log"]


@posix
def test_a_log_of_a_door_that_is_told_to_end_is_whole(tmp_path):
    log = tmp_path / "log"
    log.write_text("old")
    with subprocess.Popen(command("qtest", "--serial", log), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as door:
        door.stdin.write(b"outb 0x3f8 65\n")
        door.stdin.flush()
        assert door.stdout.readline() == b"OK\n" and log.read_text() == "old"
        door.terminate()
        assert door.stderr.read() == b"vmio qtest: ended by SIGTERM\n"
    assert (door.returncode, log.read_text(), names(tmp_path)) == (143, "A", ["log"])


@posix
def test_a_log_on_a_full_device_ends_the_door_with_a_sentence():
    done = vmio("qtest", "--serial", "/dev/full", input="outb 0x80 0\noutb 0x3f8 65\ninb 0x3fd\n")
    assert (done.returncode, done.stdout, done.stderr) == (2, "OK\n", "vmio qtest: output /dev/full: No space left on device\n")


@posix
def test_a_log_may_be_standard_error_or_the_output_that_a_socket_leaves_free(tmp_path):
    done = vmio("qtest", "--serial", "/dev/stderr", input="outb 0x3f8 65\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "A")
    out = tmp_path / "out"
    for stream in (subprocess.PIPE, open(out, "wb")):
        door = subprocess.Popen(command("qtest", "--serial", "/dev/stdout", "--unix", tmp_path / "s"), stdout=stream)
        with served(tmp_path / "s") as peer:
            peer.sendall(b"outb 0x3f8 65\n")
            assert peer.recv(9) == b"OK\n"
        assert (door.communicate(timeout=60)[0] or out.read_bytes()) == b"A" and door.returncode == 0
    stream.close()


@posix
def test_answers_that_nobody_reads_end_the_door_quietly_and_its_log_is_whole(tmp_path):
    log = tmp_path / "log"
    log.write_text("old")
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as gone:
        done = vmio("qtest", "--serial", log, input="outb 0x3f8 65\n", stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr, log.read_text()) == (141, "", "A")


def test_commands_that_are_no_text_are_answered():
    done = subprocess.run(command("qtest"), input=b"\xff\xfe\ninb 0x3fd\n", capture_output=True)
    assert done.stdout.endswith(b"'\nOK 0x0060\n") and done.stdout.startswith(b"FAIL Unknown command") and done.returncode == 0
