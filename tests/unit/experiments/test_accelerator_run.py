"""The digits on a matrix engine in every mode: what a run counts, what it refuses, and the two published ends of one slider."""

import csv
import json
from dataclasses import replace

import pytest
from tests.command_rig import refused, vmio

from vmio.drivers.accelerator_plan import Plan
from vmio.experiments import accelerator, digits, params
from vmio.experiments.accelerator import AcceleratorParams
from vmio.hardware.accelerator.registers import FETCH_NS, LANES, LINK_BYTES

WAYS = {"registers": AcceleratorParams("emulated", access="registers"), "ring": AcceleratorParams("emulated"), "split": AcceleratorParams("split"),
        "whole": AcceleratorParams("passthrough"), "virtual": AcceleratorParams("passthrough", function="virtual"),
        "posted": AcceleratorParams("passthrough", delivery="posted")}
SUMS = "6bbe52a5365adf9220d5c559a024bb96f30cb67dafa24e7b22aa57f93e4bd83b"


@pytest.mark.parametrize("way, load, calls", [("registers", 592 + 42, 450 * 26 + 2 * (8 + 1 + 1 + 1)), ("ring", 2, 2), ("split", 2, 2),
                                                ("whole", 1, 1), ("virtual", 1, 1), ("posted", 1, 1)])
def test_exits_of_each_way(way, load, calls):
    result = accelerator.run(WAYS[way])
    assert (result.load.exits, result.calls.exits) == (load, calls)
    assert (result.right, result.sums_sha256, result.number_of_calls) == (437, SUMS, 1)
    for part in (result.load, result.calls):
        assert part.exits == sum(part.exits_by_device.values())
    assert result.signals == (way == "split")
    assert result == accelerator.run(WAYS[way])


def test_the_weights_alone_are_592_exits():
    network = digits.load().network
    first = len(network.constants) - 168
    assert first == network.weight_bytes == 592 * 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", [1, 7, 449, 451])
def test_batches_change_no_sum(way, batch):
    result = accelerator.run(replace(WAYS[way], batch=batch))
    assert (result.sums_sha256, result.right, result.number_of_calls) == (SUMS, 437, -(-450 // batch))
    if way != "registers":
        assert result.calls.exits == result.number_of_calls * {"ring": 2, "split": 2}.get(way, 1)


def test_the_engine_s_time_is_a_closed_form():
    """Bytes over the link, products over the lanes, 500 ns a descriptor: the same in every mode with a ring."""
    found, network = accelerator.run(WAYS["whole"]), digits.load().network

    def moved(length):
        return FETCH_NS + -(-length * 1000 // LINK_BYTES)
    load = moved(len(network.constants))
    call = moved(450 * 64) + moved(450 * 40) + 2 * FETCH_NS + -(-450 * 2048 // LANES) + -(-450 * 320 // LANES)
    assert found.device_ns == load + call == accelerator.run(WAYS["ring"]).device_ns
    assert found.bare_ns == call


def test_many_images_a_call_are_bare_metal_and_one_image_is_not():
    """98 to 100 percent of bare metal (Walters et al., CLOUD '14), and the games that lost two fifths (Shea and Liu): one slider."""
    at = {batch: accelerator.run(AcceleratorParams("passthrough", batch=batch, count=batch)).of_bare for batch in (1, 64, 256, 4096, 16384)}
    assert 98 <= at[4096] <= at[16384] <= 100
    assert at[1] < 45 and 50 < at[64] < 60 and list(at.values()) == sorted(at.values())


def test_a_larger_network_hides_more():
    small, large = (accelerator.run(AcceleratorParams("passthrough", hidden=hidden, batch=64, count=64)).of_bare for hidden in (8, 512))
    assert small < large


@pytest.mark.parametrize("guests", [2, 4])
def test_guests_share_one_device(guests):
    alone = accelerator.run(AcceleratorParams("passthrough", function="virtual", batch=1024, count=8192))
    functions = accelerator.run(AcceleratorParams("passthrough", function="virtual", guests=guests, batch=1024, count=8192))
    turns = accelerator.run(AcceleratorParams("split", guests=guests, batch=1024, count=8192))
    assert functions.sums_sha256 == turns.sums_sha256 == alone.sums_sha256
    assert (len(functions.each_ns), functions.switches) == (guests, 0) and turns.switches >= 2 * guests
    assert abs(max(functions.each_ns) / alone.calls.ns - guests) < 0.15 * guests          # each has its part of the multipliers
    assert turns.device_ns > functions.device_ns                      # what is on the chip goes out and in at each turn


# What can't be.

@pytest.mark.parametrize("told, words", [
    ({"batch": 0}, "batch 0: 1 to 16,384"), ({"count": 0}, "count 0: 1 to 1,000,000"), ({"hidden": 513}, "hidden 513: 1 to 512"),
    ({"mode": "split", "guests": 9}, "guests 9: 1 to 8"), ({"guests": 2}, "an emulated device is one guest's"),
    ({"mode": "passthrough", "guests": 2}, "a whole device is one guest's"), ({"access": "registers", "count": 20_001}, "by registers only"),
    ({"mode": "magic"}, "mode 'magic'"), ({"costs": "none"}, "cost preset 'none'")])
def test_parameters_that_cannot_be(told, words):
    with pytest.raises(ValueError, match=words):
        accelerator.run(AcceleratorParams(**told))


def test_a_network_of_its_own_has_its_own_size():
    with pytest.raises(ValueError, match="hidden 16: no effect beside a network's own weights"):
        accelerator.run(AcceleratorParams(hidden=16), digits.load().network)
    with pytest.raises(ValueError, match="labels of 3 bytes; 450 images have one each"):
        accelerator.run(AcceleratorParams(), None, digits.load().images, b"123")


@pytest.mark.parametrize("hidden", [1, 32, 512])
def test_every_size_that_is_offered_fits(hidden):
    assert Plan(digits.sized(hidden)).piece >= 1


# The command.

def test_the_command(tmp_path):
    done = vmio("run", "--device", "accelerator", "--mode", "split", "--json", "--csv", tmp_path / "counts.csv")
    told = json.loads(done.stdout)
    assert (told["schema"], told["right"], told["sums_sha256"], told["calls"]["exits"]) == ("vmio.accelerator/1", 437, SUMS, 2)
    with (tmp_path / "counts.csv").open(newline="") as file:
        rows = dict(csv.reader(file))
    assert (rows["right"], rows["exits, calls"], rows["sums sha256"]) == ("437", "2", SUMS)
    assert "437" in vmio("run", "--device", "accelerator", "--access", "registers").stdout


def test_its_schema_is_the_parameters():
    told = json.loads(vmio("run", "--device", "accelerator", "--schema").stdout)
    assert told == json.loads(json.dumps(params.schema(AcceleratorParams, "vmio run --device accelerator")))


def test_files_of_the_wrong_shape_are_one_sentence(tmp_path):
    short = tmp_path / "short.bin"
    short.write_bytes(bytes(100))
    for option, why in (("--weights", "short.bin: 100 bytes; the digits network has 2,368"), ("--biases", "short.bin: 100 bytes; the digits network has 168"),
                        ("--images", "short.bin: 100 bytes; a positive multiple of 64")):
        refused(vmio("run", "--device", "accelerator", option, short), why)
    refused(vmio("run", "--device", "accelerator", "--images", tmp_path / "none"), "none")
    refused(vmio("run", "--device", "accelerator", "--weights", ""), "--weights: the name is empty")
    refused(vmio("run", "--device", "accelerator", "--images", short, "--csv", short), "short.bin")
    assert short.read_bytes() == bytes(100)


def test_weights_of_one_s_own(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(2368))
    told = json.loads(vmio("run", "--device", "accelerator", "--weights", tmp_path / "zeros", "--json").stdout)
    labels = digits.load().labels
    assert told["right"] in [labels.count(digit) for digit in range(10)]      # it says the same of every image
