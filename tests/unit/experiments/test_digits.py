"""The digits: what is kept, what numpy alone says of it, and that every mode says the same."""

import hashlib
import sys

import pytest

from vmio.drivers.accelerator_plan import Layer, Network, Plan
from vmio.experiments import digits
from vmio.modes import attachment, one_guest

SUMS = "6bbe52a5365adf9220d5c559a024bb96f30cb67dafa24e7b22aa57f93e4bd83b"
PREDICTIONS = "d5f29f46b1b3f8f69d97470a3e5f6882d752ea02eb1cc10b46397d8ba1f94e28"
WAYS = [("emulated", {"ring": False}), ("emulated", {"ring": True}), ("split", {}), ("passthrough", {}), ("passthrough", {"virtual": True}),
        ("passthrough", {"virtual": True, "delivery": "posted"})]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_what_is_kept():
    found = digits.load()
    assert (len(found.images), len(found.labels), found.network.weight_bytes) == (450 * 64, 450, 2368)
    assert sum(len(layer.biases) for layer in found.network.layers) == 168
    assert max(found.images) == 16 and set(found.labels) == set(range(10))


def test_what_numpy_alone_says():
    found = digits.load()
    sums = digits.sums(found.network, found.images)
    assert sha256(sums) == SUMS
    assert sha256(digits.predictions(sums)) == PREDICTIONS
    assert sum(a == b for a, b in zip(digits.predictions(sums), found.labels)) == 437


def test_the_oracle_is_plain_arithmetic():
    found = digits.load()
    first, second = found.network.layers
    signed = [(each + 128) % 256 - 128 for each in first.weights + second.weights]
    biases = [int.from_bytes((first.biases + second.biases)[at:at + 4], "little", signed=True) for at in range(0, 168, 4)]
    for number in (0, 9, 449):
        image = found.images[64 * number:64 * number + 64]
        hidden = [min(127, max(0, sum(image[i] * signed[32 * i + n] for i in range(64)) + biases[n]) * first.factor + (1 << 23) >> 24)
                  for n in range(32)]
        wanted = [sum(hidden[i] * signed[2048 + 10 * i + n] for i in range(32)) + biases[32 + n] for n in range(10)]
        assert digits.sums(found.network, image) == b"".join(each.to_bytes(4, "little", signed=True) for each in wanted)


def test_without_numpy_python_says_the_same(monkeypatch):
    images = bytes(n * 37 % 256 for n in range(64 * 5))          # also bytes that are negative numbers
    for network in (digits.load().network, digits.sized(7), digits.sized(128)):
        with_numpy = digits.sums(network, images)
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "numpy", None)
            assert digits.sums(network, images) == with_numpy


@pytest.mark.parametrize("mode, options", WAYS)
def test_every_mode_gives_the_same_sums(mode, options):
    found = digits.load()

    def program(cpu, driver):
        yield from driver.load(found.network)
        some = yield from driver.infer(found.images[:64 * 7])
        one = yield from driver.infer(found.images[-64:])
        return some, one, (yield from driver.infer(found.images))
    some, one, every = one_guest(attachment("accelerator", mode, **options)).run(program)
    assert sha256(every) == SUMS and sha256(digits.predictions(every)) == PREDICTIONS
    assert (some, one) == (every[:280], every[-40:])


@pytest.mark.parametrize("mode, options", WAYS[1:5])
def test_more_images_than_fit_on_the_chip_or_in_the_ring(mode, options):
    found = digits.load()
    images = found.images * 40                                # 18,000 in one call: 40 pieces

    def program(cpu, driver):
        yield from driver.load(found.network)
        return (yield from driver.infer(images))
    every = one_guest(attachment("accelerator", mode, **options)).run(program)
    assert sha256(every[:18_000]) == SUMS and every == every[:18_000] * 40


@pytest.mark.parametrize("hidden", [1, 3, 16, 100, 800])
def test_networks_of_other_sizes(hidden):
    network, images = digits.sized(hidden), digits.load().images[:64 * 50]

    def program(cpu, driver):
        yield from driver.load(network)
        return (yield from driver.infer(images))
    every = one_guest(attachment("accelerator", "passthrough")).run(program)
    assert every == digits.sums(network, images)


# What can't be.

@pytest.mark.parametrize("weights, biases, words", [
    (bytes(2367), bytes(168), "weights: 2,367 bytes; the digits network has 2,368"),
    (bytes(2368), bytes(164), "biases: 164 bytes; the digits network has 168")])
def test_weights_of_the_wrong_shape(weights, biases, words):
    with pytest.raises(ValueError, match=words):
        digits.network(weights, biases)


@pytest.mark.parametrize("length", [0, 1, 63, 65])
def test_images_of_the_wrong_shape(length):
    with pytest.raises(ValueError, match=f"images of {length} bytes; digits takes a positive multiple of 64"):
        digits.load().network.count(bytes(length))


def test_layers_that_do_not_fit():
    layer = Layer(4, 3, bytes(12), bytes(12))
    with pytest.raises(ValueError, match="net, layer 2: 4 inputs; the layer before has 3 outputs"):
        Network([layer, layer], "net")
    with pytest.raises(ValueError, match="net, layer 1: weights of 11 bytes; 4 inputs and 3 outputs need 12"):
        Network([Layer(4, 3, bytes(11), bytes(12))], "net")
    with pytest.raises(ValueError, match="no layer"):
        Network([], "net")
    with pytest.raises(ValueError, match="the chip has 65,536"):
        Plan(digits.sized(900))
