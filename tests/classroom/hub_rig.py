"""A real JupyterHub on loopback with the course's own configuration, and students who use it as a browser does: pages, REST, websockets.

All that it starts carries a word of its own in the environment, and is gone when the block ends.  No account of the system is
made: students are names, their homes are folders of the test's (JupyterHub's SimpleLocalProcessSpawner, for tests only).
"""

import http.cookiejar
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit import classroom

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "for this test only"
MARK = "VMIO_TEST_HUB"
CONFIG = """
load_subconfig({deploy!r})
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{0}/vmio/"
c.JupyterHub.hub_port = {1}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{2}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {{**c.Spawner.environment, "PYTHONPATH": {course!r}, {mark!r}: {homes!r}, "VMIO_STRICT": "1", "VMIO_PROGRESS": "1",
                          "JUPYTER_PATH": c.Spawner.environment["JUPYTER_PATH"] + {pathsep!r} + {shared!r}}}
c.JupyterHub.cleanup_servers = c.JupyterHub.cleanup_proxy = True
c.JupyterHub.services[0]["command"][-1] = "--timeout={idle}"
c.JupyterHub.services[0]["command"].append("--cull-every={every}")
"""


def ports(count):
    """So many free ports."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def marked(word):
    """The numbers of the processes that carry the word in their environment (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={word}".encode() in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


@contextmanager
def hub(folder, tools, idle=3600, every=600):
    """The hub, its course and homes in `folder`; gives its address.  `tools` is (the hub's Python, its proxy)."""
    python, proxy = tools
    course = classroom.copy(str(ROOT), str(folder / "opt" / "course"))
    (folder / "homes").mkdir()
    config = folder / "hub_config.py"
    numbers = ports(3)
    config.write_text(CONFIG.format(
        *numbers, deploy=os.path.join(course, "deploy", "jupyterhub_config.py"), proxy=str(proxy), password=PASSWORD,
        homes=str(folder / "homes"), course=course, mark=MARK, pathsep=os.pathsep, shared=str(shared()), idle=idle, every=every))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VMIO_", "JUPYTER", "PYTHON"))}
    environment.update({MARK: str(folder / "homes"), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"})
    with open(folder / "hub.log", "wb") as log:
        process = subprocess.Popen([python, "-m", "jupyterhub", "-f", config], cwd=folder, env=environment, stdout=log,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{numbers[0]}/vmio"
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError(f"the hub stopped:\n{said(folder)}")
            try:
                urllib.request.urlopen(f"{address}/hub/api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise AssertionError(f"the hub did not answer within a minute:\n{said(folder)}")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for number in marked(folder / "homes"):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait()


def said(folder):
    """The end of what the hub and the students' servers said."""
    return (folder / "hub.log").read_text(errors="replace")[-3000:]


def shared():
    """Where JupyterLab's own files are that the hub's Python takes from this one."""
    import sys
    return Path(sys.prefix) / "share" / "jupyter"


class Student:
    """A browser's view of the hub, for one name: cookies, then a token of the student's own."""

    def __init__(self, address, name):
        self.address, self.name, self.token = address, name, None
        self.jar = http.cookiejar.CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def _xsrf(self):
        """The hub's word against forged forms, as its page has it."""
        return next(one.value for one in self.jar if one.name == "_xsrf" and one.path.startswith("/vmio/hub"))

    def log_in(self):
        """Fill in the form; the hub then starts the server.  Returns the page that is shown meanwhile."""
        self.browser.open(f"{self.address}/hub/login", timeout=60).close()
        form = urllib.parse.urlencode({"username": self.name, "password": PASSWORD, "_xsrf": self._xsrf()}).encode()
        try:
            with self.browser.open(f"{self.address}/hub/login", form, timeout=60) as page:
                return page.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def hub_api(self, path, body=None):
        """What the hub's REST interface says to this student."""
        request = urllib.request.Request(f"{self.address}/hub/api/{path}", None if body is None else json.dumps(body).encode(),
                                         {"X-XSRFToken": self._xsrf(), "Referer": f"{self.address}/hub/home",
                                          "Content-Type": "application/json"})
        with self.browser.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def wait_until_ready(self):
        """Until the server of this student is up; then take a token, as the page of JupyterLab does by a cookie."""
        for _ in range(400):
            if self.hub_api(f"users/{self.name}").get("servers", {}).get("", {}).get("ready"):
                self.token = self.hub_api(f"users/{self.name}/tokens", {"note": "test"})["token"]
                return
            time.sleep(0.3)
        raise AssertionError(f"the server of {self.name} was not ready within two minutes")

    def ask(self, path, body=None, method=None, of=None):
        """(status, answer) of the REST interface of this student's server, or of another's (`of`)."""
        request = urllib.request.Request(f"{self.address}/user/{of or self.name}/api/{path}", None if body is None else json.dumps(body).encode(),
                                         {"Authorization": f"token {self.token}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None

    def open(self, notebook):
        """Open a notebook as the page does: (its content, its Kernel)."""
        status, page = self.ask(f"contents/{notebook}")
        assert status == 200, f"{self.name} cannot open {notebook}: {status}"
        session = self.ask("sessions", {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}})[1]
        return page["content"], Kernel(self, session["kernel"]["id"])


class Kernel:
    """A kernel's channels through the hub's proxy."""

    def __init__(self, student, number):
        from websocket import create_connection
        self.number, self.count = number, 0
        where = f"{student.address.replace('http', 'ws')}/user/{student.name}/api/kernels/{number}/channels"
        self.socket = create_connection(where, timeout=120, header=[f"Authorization: token {student.token}"], suppress_origin=True)

    def send(self, kind, content):
        """Send a message; returns what the kernel says to it until it is idle again."""
        self.count += 1
        number = f"m{self.count}"
        header = {"msg_id": number, "msg_type": kind, "session": "test", "username": "", "version": "5.4", "date": ""}
        self.socket.send(json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}))
        messages = []
        while True:
            message = json.loads(self.socket.recv())
            if message["parent_header"].get("msg_id") != number:
                continue
            messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return messages

    def run(self, code):
        """Run a cell; returns what it printed.  AssertionError with what went wrong."""
        text = ""
        for message in self.send("execute_request", {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                                                     "allow_stdin": False, "stop_on_error": True}):
            if message["msg_type"] == "stream":
                text += message["content"]["text"]
            elif message["msg_type"] == "error":
                raise AssertionError("\n".join(message["content"]["traceback"][-3:]))
        return text

    def move(self, widget, **state):
        """Move a control as the page does, in one message."""
        self.send("comm_msg", {"comm_id": widget, "data": {"method": "update", "state": state, "buffer_paths": []}})

    def close(self):
        """End the connection; the kernel goes on."""
        self.socket.close()
