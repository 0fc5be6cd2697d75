"""What a Prometheus server scrapes: http://127.0.0.1:PORT/metrics, from this machine only.

The machine's own thread makes the text, after each sample; threads that answer only hand it on, so that no client, however slow, touches
a run.  Each answer has its thread and `CLIENT_S` to be taken; who asks while `MOST` are under way is told to come again.
"""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vmio.manage.monitor.prometheus import CONTENT_TYPE

HERE = "127.0.0.1"
CLIENT_S, MOST = 5, 32


class _Answer(BaseHTTPRequestHandler):
    timeout = CLIENT_S
    server: "_Server"

    def do_GET(self) -> None:
        """Answer with the text as it is now."""
        if self.path.split("?")[0] != "/metrics":
            self._say(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"{self.path!r} is not here; ask for /metrics\n")
        elif not self.server.places.acquire(blocking=False):
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{MOST} clients are being answered; ask again\n")
        else:
            try:
                self._say(HTTPStatus.OK, CONTENT_TYPE, self.server.text)
                self.server.scrapes += 1
            finally:
                self.server.places.release()

    def _say(self, status: HTTPStatus, kind: str, words: str) -> None:
        data = words.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: standard error is the command's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False          # a client that never reads must not keep us from ending

    def __init__(self, port: int) -> None:
        self.text, self.scrapes, self.places = "", 0, threading.BoundedSemaphore(MOST)
        super().__init__((HERE, port), _Answer)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone, or was too slow: its own affair."""


class Exporter:
    """Serves from now on; `port` 0 takes a free one, and `port` then says which.  OSError if it is taken."""

    def __init__(self, port: int = 0) -> None:
        if not 0 <= port <= 65_535:
            raise ValueError(f"port {port}: 0 to 65,535")
        try:
            self._server = _Server(port)
        except OSError as error:
            raise OSError(f"port {port} on {HERE}: {error.strerror or error}") from error
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def scrapes(self) -> int:
        """How often it has answered."""
        return self._server.scrapes

    def show(self, text: str) -> None:
        """Answer with this text from now on."""
        self._server.text = text

    def close(self) -> None:
        """End; the port is free again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
