"""The same sweep on a cluster of two workers (Dask): equal results, and one sentence when the cluster has gone."""

import importlib.util
import os

import pytest

from vmio.experiments import disk, many
from vmio.experiments.disk_params import DiskParams

POINTS = [DiskParams(mode=mode, bytes=1 << 16, queue_depth=depth) for mode in ("split", "passthrough") for depth in (1, 4)]


@pytest.fixture(scope="module")
def client():
    if importlib.util.find_spec("distributed") is None:
        missing = "dask.distributed is not installed: pip install -r tests/requirements.txt"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(f"NOT TESTED: {missing}")
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def who(point):
    return os.getpid()


def test_a_cluster_of_two_gives_what_one_process_gives(client):
    here = many.run(disk.run, POINTS, workers=1)
    there = many.run(disk.run, POINTS, client=client)
    assert [each.to_dict() for each in there] == [each.to_dict() for each in here]
    assert os.getpid() not in many.run(who, range(4), client=client)


def test_what_a_cell_defines_can_go_to_a_cluster(client):
    factor = 3
    assert many.run(lambda point: factor * point, [1, 2], client=client) == [3, 6]


def test_a_cluster_that_is_not_there_is_one_sentence_and_what_was_done_is_kept(client):
    from distributed import Client
    other = Client(client.scheduler.address)
    kept = {1: "kept"}
    other.close()
    with pytest.raises(ValueError, match=r"^the workers can't be reached, or can't run it \(\w+: .* is closed.*\); 1 of 1 points are still to do: "):
        many.run(who, [1, 2], kept, client=other)
    assert kept == {1: "kept"}
