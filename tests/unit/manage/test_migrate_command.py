"""`vmio migrate`: what it prints, its exit status, and what it refuses in a sentence."""

import json

import pytest
from tests.command_rig import refused, vmio


def told(*options, status=0):
    """What it says as JSON."""
    done = vmio("migrate", "--json", *options)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_a_guest_is_moved_and_all_is_said():
    found = told("--disk", "split", "--requests", "300", "--after-ms", "20", "--bandwidth", "32", "--downtime-ms", "2")
    assert found["schema"] == "vmio.migrate/1" and found["status"] == "completed"
    assert found["rounds"] == len(found["each_round"]) >= 1 and found["downtime_ns"] > 0
    equal = found["equal"]
    assert equal["same"] and equal["memory"]["before"] == equal["memory"]["after"] and len(equal["memory"]["after"]) == 64
    assert equal["disks"]["before"] == equal["disks"]["after"] and len(equal["disks"]["after"]) == 1
    assert equal["end"]["same"] and equal["end"]["moved"] == equal["end"]["undisturbed"]
    assert found["bytes"]["link"] >= found["bytes"]["pages"] + found["bytes"]["state"]


@pytest.mark.parametrize("options, status", [
    (("--cut-after", "100000"), "failed"),
    (("--rate", "100000", "--bandwidth", "16", "--downtime-ms", "10", "--patience", "2", "--seconds", "2"), "cancelled"),
])
def test_a_guest_that_was_not_moved_is_exit_status_1(options, status):
    found = told("--ram", "20", *options, status=1)
    assert found["status"] == status and found["equal"]["same"] is None and found["equal"]["end"]["same"]


def test_a_log_without_the_hosts_writes_is_exit_status_1():
    found = told("--disk", "split", "--requests", "192", "--after-ms", "20", "--bandwidth", "32", "--downtime-ms", "1", "--without", "host", status=1)
    assert found["status"] == "completed" and not found["equal"]["same"]


@pytest.mark.parametrize("options, why", [
    (("--bandwidth", "0"), "bandwidth 0: 1 to 100,000"),
    (("--disk", "passthrough"), "no live migration while nvme0 is assigned to it"),
    (("--pages", "200000"), "pages 200,000: a guest of 64 MiB has 16,128 behind its first MiB"),
    (("--throttle", "--throttle-first", "50", "--throttle-most", "40"), "throttle_first 50: above throttle_most 40"),
    (("--postcopy-after", "20", "--patience", "10"), "postcopy_after 20: it is cancelled after 10 rounds"),
    (("--disk", "dma", "--pages", "5"), "pages 5: no effect with disk dma"),
    (("--requests", "3000"), "requests 3,000: no effect with disk none"),
    (("--throttle-first", "30"), "throttle_first 30: no effect with no throttle"),
    (("--rule", "xen", "--downtime-ms", "5"), "downtime_ms 5: rule xen counts rounds"),
])
def test_what_makes_no_sense_is_refused_in_a_sentence(options, why):
    refused(vmio("migrate", *options), why)


def test_the_schema_is_printed():
    assert json.loads(vmio("migrate", "--schema").stdout)["properties"]["bandwidth"]["minimum"] == 1
