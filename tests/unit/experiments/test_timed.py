"""Requests that come when the trace says: an open loop, with the waiting in the latency; in every mode."""

import json

import pytest

from vmio.__main__ import main
from vmio.experiments import disk, trace
from vmio.experiments.disk import DiskParams

MODES = [dict(transfer="dma"), dict(), dict(transfer="dma", polled=True), dict(mode="split", queue_depth=4),
         dict(mode="split", queue_depth=4, polled=True), dict(mode="passthrough", queue_depth=4), dict(mode="passthrough", queue_depth=4, polled=True)]
SECOND = 1_000_000_000


def load(tmp_path, *lines):
    path = tmp_path / "t.csv"
    path.write_text("time_us,op,lba,sectors\n" + "\n".join(lines))
    return trace.load(path)


@pytest.mark.parametrize("params", MODES, ids=str)
def test_requests_come_at_their_times_and_the_same_bytes_are_read(tmp_path, params):
    requests = load(tmp_path, "0,R,0,8", "5,R,8,8", "6,W,16,8", "7,F,0,0", "1000,R,16,8", "90000000,R,24,8")
    timed, untimed = (disk.run(DiskParams(timed=timed, **params), requests) for timed in (True, False))
    assert timed.sha256 == untimed.sha256 and timed.requests == 6
    assert 90 * SECOND < timed.virtual_ns < 90 * SECOND + 1_000_000 and untimed.virtual_ns < 2_000_000
    assert sum(timed.parts.values()) == timed.virtual_ns == 90 * SECOND + timed.latencies[-1]


def test_a_disk_that_takes_one_at_a_time_lets_the_others_wait_and_the_latency_says_so(tmp_path):
    """Four reads at one time: the n-th waits for those before it."""
    at_once = disk.run(DiskParams(transfer="dma", timed=True), load(tmp_path, *[f"0,R,{8 * n},8" for n in range(4)]))
    alone = at_once.latencies[0]
    assert at_once.latencies == [alone, 2 * alone, 3 * alone, 4 * alone]
    apart = disk.run(DiskParams(transfer="dma", timed=True), load(tmp_path, *[f"{1000 * n},R,{8 * n},8" for n in range(4)]))
    assert all(abs(latency - alone) < 1000 for latency in apart.latencies)


def test_the_table_and_json_tell_the_latencies(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("time_us,op,lba,sectors\n0,R,0,8\n500,R,8,8\n")
    assert main(["run", "--dma", "--timed", "--trace", str(path)]) == 0
    assert "latency since a request came" in capsys.readouterr().out
    assert main(["run", "--dma", "--timed", "--trace", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["params"]["timed"] is True
    assert 0 < result["latency_p50_ns"] <= result["latency_p99_ns"] <= result["latency_max_ns"] < 500_000 < result["virtual_ns"]


def test_what_has_no_times_or_not_in_order_is_refused(tmp_path, capsys):
    assert main(["run", "--timed"]) == 2
    assert "sequential reads have no times" in capsys.readouterr().err
    path = tmp_path / "t.csv"
    path.write_text("time_us,op,lba,sectors\n5,R,0,8\n\n3,R,8,8\n")
    assert main(["run", "--timed", "--trace", str(path)]) == 2
    assert "line 4: it comes 2000 ns before the line above" in capsys.readouterr().err


def test_help_says_what_happens_to_the_times(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "without it the times are not used" in text and "MSR Cambridge" in text and "--volume" in text
