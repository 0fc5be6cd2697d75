"""A checkout in a folder of its own, whose .venv borrows the packages of the Python that runs the tests; and a JupyterLab in it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from labkit import venv as private

ROOT = Path(__file__).parents[1]


def checkout(root):
    """Make a checkout in `root` that is ready: lab.py finds nothing to do.  Without a network, in two seconds."""
    root.mkdir(parents=True)
    for name in ("lab.py", "requirements.txt"):
        shutil.copy(ROOT / name, root)
    for name in ("labkit", "vmio", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "requirements.txt", root / "tests")
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    subprocess.run([private.python_of(str(venv)), "-I", str(root / "labkit" / "inside.py"), str(venv), "finish"], check=True)
    packages = next(venv.glob("[Ll]ib/**/site-packages"))
    (packages / "zz_borrowed.pth").write_text("import os, sys; sys.path.append(os.fsdecode(%r))\n"
                                              % os.fsencode(sysconfig.get_path("purelib")))
    for name in ("share/jupyter", "etc/jupyter"):
        shutil.copytree(Path(sys.prefix) / name, venv / name)
    private.write(private.fingerprint(private.class_list(str(root))), str(venv), private.STAMP)
    private.write(private.fingerprint(private.tests_list(str(root))), str(venv), private.TESTS_STAMP)
    private.write(str(venv), str(venv), private.PLACE)
    return root


class Server:
    """A running lab.py and the JupyterLab that it opened."""

    def __init__(self, process, address, token, lines):
        self.process, self.address, self.token, self.lines = process, address, token, lines

    def ask(self, path, token=None, method="GET", body=None):
        """Return (status, answer) of JupyterLab's REST interface."""
        headers = {"Authorization": "token " + token} if token else {}
        request = urllib.request.Request(self.address + path, method=method, headers=headers,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return error.code, None

    def answers(self):
        """Wait until it does: JupyterLab says its address before it listens there."""
        for _ in range(600):
            try:
                return self.ask("/api", self.token)
            except urllib.error.URLError:
                time.sleep(0.1)
        raise AssertionError("JupyterLab did not answer within a minute:\n" + "".join(self.lines))

    def kernel(self):
        """Start a kernel as a notebook does; returns its number."""
        return self.ask("/api/kernels", self.token, "POST", {"name": "python3"})[1]["id"]

    def printed(self, kernel, code):
        """Return what code prints in a kernel."""
        from websocket import create_connection
        socket = create_connection("%s/api/kernels/%s/channels" % (self.address.replace("http", "ws"), kernel), timeout=60,
                                   header=["Authorization: token " + self.token])
        try:
            header = {"msg_id": "1", "msg_type": "execute_request", "session": "1", "username": "", "version": "5.3"}
            socket.send(json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": {
                "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}}))
            text = ""
            while True:
                message = json.loads(socket.recv())
                if message["parent_header"].get("msg_id") != "1":
                    continue
                if message["msg_type"] == "stream":
                    text += message["content"]["text"]
                elif message["msg_type"] == "error":
                    return text + "\n".join(message["content"]["traceback"])
                elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return text
        finally:
            socket.close()

    def end(self, number=signal.SIGTERM):
        """Send lab.py a signal; returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(root, environment, python=sys.executable):
    """Start `lab.py --no-browser` in a checkout and give it as a Server when it has said where it is."""
    process = subprocess.Popen([python, str(root / "lab.py"), "--no-browser"], env=environment, cwd=root, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    lines, found = [], threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if re.search(r"http://127\.0\.0\.1:\d+/\S*token=", line):
                found.set()
        found.set()
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert found.wait(120), "".join(lines)
        match = re.search(r"(http://127\.0\.0\.1:\d+)/\S*\?token=([0-9a-f]+)", "".join(lines))
        assert match, "".join(lines)
        server = Server(process, match.group(1), match.group(2), lines)
        server.answers()
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        reader.join(10)
        process.stdout.close()
