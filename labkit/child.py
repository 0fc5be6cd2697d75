"""Processes that lab.py starts, and that none of them outlives it."""

import os
import signal
import subprocess
import threading

LIMIT = 30  # seconds from asking a process to end to ending it


class Stopped(Exception):
    """A signal came: `number`."""

    def __init__(self, number):
        Exception.__init__(self, number)
        self.number = number


class Signals:
    """Turns the signals that end a program into Stopped; those that come after the first only make it hurry."""
    stopping = False
    hurry = False

    def __call__(self, number, frame):
        if Signals.stopping:
            Signals.hurry = True
            return
        Signals.stopping = True
        raise Stopped(number)

    def listen(self):
        """Take over each such signal, except those that we were told to ignore (nohup, a shell's background)."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self)


def start(command, stdin=subprocess.PIPE, **more):
    """Start a process that hears no Ctrl-C of its own: lab.py hears it and ends what it started, in order."""
    if os.name == "nt":
        more["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        more["start_new_session"] = True
    return subprocess.Popen(command, stdin=stdin, **more)


def wait(child, seconds):
    """Return whether a process ends within some seconds, or before the user is out of patience."""
    for _ in range(int(seconds * 10)):
        try:
            child.wait(0.1)
            return True
        except subprocess.TimeoutExpired:
            if Signals.hurry:
                return False
    return False


def kernels_of(child):
    """Return the process numbers of the kernels under a process; they have sessions of their own."""
    try:
        table = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]).decode("utf-8", "replace")
    except (OSError, subprocess.CalledProcessError):
        return []
    rows = [line.split(None, 2) for line in table.splitlines()]
    below, found = set([child.pid]), []
    for pid, parent, words in sorted((int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3):
        if parent in below:
            below.add(pid)
            if "ipykernel" in words:
                found.append(pid)
    return found


def end(child, ask=signal.SIGTERM, whole_group=False, seconds=LIMIT):
    """End a process: ask it, wait, and kill it with its kernels when it doesn't."""
    if child.stdin is not None:
        child.stdin.close()
    if child.poll() is None and os.name != "nt":
        os.killpg(child.pid, ask) if whole_group else child.send_signal(ask)
    elif child.poll() is None and child.stdin is None:
        child.terminate()
    if wait(child, seconds):
        return
    for pid in kernels_of(child) if os.name != "nt" else []:
        os.kill(pid, signal.SIGKILL)
    if os.name == "nt":
        child.kill()
    else:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def run(command, environment, heard=None):
    """Run a step of the set-up; returns its exit code and its lines, each of which `heard` gets when it comes."""
    child = start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = []
    try:
        for raw in child.stdout:
            lines.append(raw.decode("utf-8", "replace").rstrip())
            if heard:
                heard(lines[-1])
        return child.wait(), lines
    finally:
        if child.poll() is None:
            end(child, whole_group=True, seconds=5)
        child.stdout.close()
        child.stdin.close()


def call(command, environment, folder, ask=signal.SIGTERM, stdin=subprocess.PIPE):
    """Run JupyterLab or the tests until they end or we are told to; returns the exit status."""
    child = start(command, stdin=stdin, env=environment, cwd=folder)
    try:
        if os.name == "nt":  # a wait without a limit would keep it from seeing Ctrl-C
            while not wait(child, 60):
                pass
        child.wait()
    finally:
        end(child, ask)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


class Every:
    """Calls a function each `seconds` in a thread of its own, inside `with`."""

    def __init__(self, seconds, function):
        self.seconds, self.function, self.over = seconds, function, threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.over.wait(self.seconds):
            self.function()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()
