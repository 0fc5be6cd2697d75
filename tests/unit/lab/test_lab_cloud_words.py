"""What the text of *Store in a cloud* says of its tables: each number and each comparison, read from runs."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments.cloud_queue import random_arrivals
from vmio.hypervisor.costs import published
from vmio.lessons.store_in_a_cloud import panel as cloud


def test_what_the_text_says_of_tails_policies_and_functions():
    ways = {name: cloud.ran(name) for name in cloud.VARIANTS}
    victim = {name: one["victim"] for name, one in ways.items()}
    assert round(cloud.alone()["victim"].at(990), -3) == 87_000 and round(ways["no policy"].busy) == 15
    none, weighed, function = (victim[name] for name in ("no policy", "weights", "victim's function"))
    assert round(none.at(500), -3) == 33_000 and round(none.at(990), -5) == 3_800_000
    assert round(sum(none.latencies) / len(none.latencies), -4) == 190_000, "the mean of the quiz"
    assert {one.at(500) for name, one in victim.items() if "victim" not in name} == {none.at(500)}, "the median is the same in every row above"
    assert weighed.at(990) < none.at(990) / 10 and ways["weights"].rate == pytest.approx(ways["no policy"].rate, rel=0.01)
    assert ways["weights"]["bully"].at(500) == pytest.approx(2 * ways["no policy"]["bully"].at(500), rel=0.1), "it doubles"
    assert victim["reservation"].latencies == weighed.latencies, "a reservation adds nothing"
    limits = ways["token buckets"]
    assert victim["token buckets"].at(990) == min(victim[name].at(990) for name in ("no policy", "weights", "token buckets", "reservation"))
    assert round(limits["bully"].at(500), -7) == 680_000_000 and limits.busy < ways["no policy"].busy
    assert none.exits_a_request - function.exits_a_request == pytest.approx(1, abs=0.05) and round(none.exits_a_request) == 4
    assert 1 - function.at(500) / none.at(500) == pytest.approx(0.25, abs=0.02) and 0 <= cloud.gone_percent() < 1
    assert all(victim[name].at(990) > 3_700_000 for name in ("victim's function", "bully's function"))
    assert all(ways[name].kept() == 100 for name in cloud.VARIANTS if name not in ("no policy", "victim's function", "bully's function"))
    assert len({round(one.jain, 3) for one in ways.values()}) == 1 and cloud.TURNS == (4, 1)
    assert "no" not in [line.split()[-1] for line in cloud.move_table().splitlines()[2:]]


def test_what_the_text_says_of_theory_and_of_luck():
    off = [float(line.split()[-1]) for line in cloud.queue_table().splitlines()[2:]]
    assert all(abs(each) < 6 for each in off) and random_arrivals(0.9, 20_000).wait_ns > 4 * 75_100
    shown = [[float(cell.replace(",", "")) for cell in line.split()] for line in cloud.bucket_table().splitlines()[2:]]
    assert [row[0] for row in shown] == [1, 30, 31, 32, 60] and all(0 <= over - may < 0.1 for _, over, may in shown)
    rates = [float(line.split()[-2].replace(",", "")) for line in cloud.window_table().splitlines()[2:]]
    tails = [float(line.split()[-1].replace(",", "")) for line in cloud.window_table().splitlines()[2:]]
    assert rates == sorted(rates) and tails == sorted(tails) and rates[0] < 0.75 * rates[-1]
    rows = {name: line for name in ("no policy", "weights") for line in cloud.luck_table().splitlines() if line.startswith(name)}
    least, greatest = (float(cell.replace(",", "")) for cell in rows["no policy"].split()[-2:])
    assert least < float(rows["weights"].split()[-2]) < greatest, "by luck it looks as good as any other"
    requests = len(cloud.run(cloud.variant("no policy", cloud.SHORT))["victim"].latencies)
    assert round(requests, -1) == 270 and requests - -(-99 * requests // 100) == 2, "the third slowest"
    volume = {row_id: float(published()[row_id]["value"]) for row_id in ("V01.1", "V01.2", "V01.3", "V01.4", "V01.5", "V02.1")}
    assert list(volume.values()) == [3, 3000, 5_400_000, 3000, 125, 3.1] and 5_400_000 / (3000 - 300) == 2000
