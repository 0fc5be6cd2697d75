"""The exporter: a thousand scrapes, clients that read slowly or not at all, an end that waits for nobody."""

import socket
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from vmio.manage.monitor.exporter import HERE, Exporter
from vmio.manage.monitor.prometheus import CONTENT_TYPE


@pytest.fixture
def exporter():
    made = Exporter()
    made.show("vmio_host_cores 2\n")
    yield made
    made.close()


def scrape(port, path="/metrics"):
    with urlopen(f"http://{HERE}:{port}{path}", timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_a_thousand_scrapes(exporter):
    for number in range(1000):
        if number == 500:
            exporter.show("vmio_host_cores 3\n")
        assert scrape(exporter.port) == (CONTENT_TYPE, f"vmio_host_cores {2 + (number >= 500)}\n")
    assert exporter.scrapes == 1000


def test_clients_that_say_nothing_keep_nobody_out(exporter):
    silent = [socket.create_connection((HERE, exporter.port)) for _ in range(40)]
    silent[0].sendall(b"GET /metr")                       # and no more
    assert scrape(exporter.port)[1] == "vmio_host_cores 2\n"
    for each in silent:
        each.close()
    assert scrape(exporter.port)[1] == "vmio_host_cores 2\n"


def test_a_client_that_never_reads_does_not_keep_it_from_ending():
    exporter = Exporter()
    exporter.show("#" * (64 << 20))                       # more than any buffer between
    client = socket.create_connection((HERE, exporter.port))
    client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert client.recv(1)
    exporter.close()
    client.close()
    again = Exporter(exporter.port)                       # the port is free
    again.close()


def test_another_page_is_not_here(exporter):
    with pytest.raises(HTTPError) as error:
        scrape(exporter.port, "/secret")
    assert error.value.code == 404 and b"ask for /metrics" in error.value.read()
    error.value.close()


def test_only_this_machine_may_ask(exporter):
    assert exporter._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(exporter):
    with pytest.raises(OSError, match=f"port {exporter.port} on 127.0.0.1: "):
        Exporter(exporter.port)
    with pytest.raises(ValueError, match="port 70000: 0 to 65,535"):
        Exporter(70_000)
