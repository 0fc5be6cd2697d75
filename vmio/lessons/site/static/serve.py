"""Serve this folder to the browser of this computer: `python3 serve.py [PORT]`. Nothing is installed, nobody else can reach it.

Browsers run no WebAssembly and no service worker from a file, so a folder or a stick needs this.
"""

import os
import sys
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Files of this folder, with the types that browsers insist on; it prints no requests."""

    extensions_map = dict(SimpleHTTPRequestHandler.extensions_map)
    extensions_map.update({".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
                           ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"})

    def log_message(self, *_: object) -> None:
        pass


def main(words: list) -> int:
    """Serve until Ctrl-C; returns the exit status."""
    quiet = "--no-browser" in words
    rest = [word for word in words if word != "--no-browser"]
    if len(rest) > 1 or rest and not (rest[0].isdigit() and int(rest[0]) <= 65535):
        sys.stderr.write("serve.py: PORT is %r; it must be a number from 0 (any free one) to 65535.\n" % " ".join(rest))
        return 2
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(rest[0]) if rest else 8000), partial(Handler, directory=folder))
    except OSError as error:
        sys.stderr.write("serve.py: port %s is not to be had (%s); name another one: python3 serve.py 8001\n"
                         % (rest[0] if rest else 8000, error.strerror))
        return 1
    address = "http://127.0.0.1:%d/" % server.server_address[1]
    print("%s - Ctrl-C ends it" % address, flush=True)
    if not quiet:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
