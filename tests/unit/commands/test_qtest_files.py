"""The oracle door's socket and its serial log: no file of the user's is removed or emptied."""

import os
import signal
import socket
import subprocess
import threading

import pytest

from tests.command_rig import DISK, command, names, posix, refused, vmio, with_source


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
    other = tmp_path / "other"
    path.write_bytes(DISK), other.write_bytes(DISK)
    (tmp_path / "soft").symlink_to("disk")
    for arguments, why in ((["--drive", path, "--serial", tmp_path / "soft"], "same file as --drive"),
                           (["--drive", other, "--drive", path, "--serial", tmp_path / "soft"], "same file as --drive 2"),
                           (["--unix", tmp_path / "s", "--serial", tmp_path / "." / "s"], "the socket is to be there"),
                           (["--serial", "/dev/stdout"], "standard output"), (["--serial", tmp_path], "a folder")):
        refused(vmio("qtest", *arguments, stdin=subprocess.DEVNULL), why)
    with open(path, "rb") as commands:
        refused(vmio("qtest", "--serial", path, stdin=commands), "standard input")
    assert path.read_bytes() == DISK and names(tmp_path) == ["disk", "other", "soft"]


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
