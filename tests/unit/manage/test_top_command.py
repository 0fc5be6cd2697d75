"""`vmio top` and `vmio diagnose`: what they print, what they refuse in a sentence, and an exporter that is scraped and ends."""

import json
import re
import signal
import subprocess
from contextlib import suppress
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.command_rig import command, refused, vmio

from vmio.manage.diagnose.command import VIEWS
from vmio.manage.diagnose.faults import FAULTS
from vmio.manage.monitor.top import COLUMNS


def told(*options):
    done = vmio(*options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_json_says():
    found = json.loads(told("top", "--json", "--fault", "legacy", "--windows", "12"))
    assert found["schema"] == "vmio.top/1" and found["verdict"] == "legacy" and found["windows"] == 12
    assert [tuple(guest) for guest in found["guests"]] == [COLUMNS] * 6
    db = next(guest for guest in found["guests"] if guest["guest"] == "db")
    assert db["port I/O/s"] > 0


@pytest.mark.parametrize("view, words", list(zip(VIEWS, (
    "the rules find nothing", "Analyze events for all VMs, all VCPUs:", "halt_successful_poll", "channel_vp_mapping", "% Guest Run Time",
    "some avg10=0.00", "# TYPE vmio_exits_total counter"))))
def test_each_view(view, words):
    text = told("top", "--view", view, "--windows", "3")
    assert words in text
    if view == "prometheus":
        assert len(list(text_string_to_metric_families(text))) > 15


def test_the_table_names_cause_and_cure():
    text = told("top", "--once", "--fault", "small_ring")
    assert FAULTS["small_ring"].cause in text and FAULTS["small_ring"].cure in text and text.split()[0] == "guest"


@pytest.mark.parametrize("options, words", [(("top", "--fault", "rust"), "fault 'rust': choose one of none, small_ring"), (("top", "--windows", "2"), "--windows 2: 3 to 10,000"),
                                            (("top", "--pace", "-1"), "--pace -1.0: 0 to 60 seconds"), (("top", "--serve", "70000"), "port 70000: 0 to 65,535"),
                                            (("diagnose", "--seeds", "0"), "seeds 0: 1 to 10,000")])
def test_refused(options, words):
    refused(vmio(*options), words)


def test_the_list_of_faults():
    assert [row["name"] for row in json.loads(told("diagnose", "--list", "--json"))["faults"]] == list(FAULTS)


def test_a_few_seeds():
    found = json.loads(told("diagnose", "--seeds", "2", "--first", "7", "--json"))
    assert found["schema"] == "vmio.diagnose/1" and [each["seed"] for each in found["outcomes"]] == [7, 8]


def test_it_is_scraped_and_ends():
    words = command("top", "--serve", "0", "--pace", "0", "--windows", "3")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            where = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", where)
            text = ""
            while "vmio_exits_total{" not in text:
                with urlopen(where, timeout=30) as answer:
                    text = answer.read().decode()
            assert text.endswith("\n")
            said = None
            while said is None:                     # a signal that comes in one of the simulation's own processes may be lost there
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    _, said = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode in (0, 130) and "Traceback" not in said
