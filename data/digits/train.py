"""How the files of this folder were made: the network is trained once, quantised to int8, and kept; nothing here runs in a lesson.

    python -m venv /tmp/train; /tmp/train/bin/pip install scikit-learn==1.9.1
    /tmp/train/bin/python data/digits/train.py data/digits

scikit-learn gives the images and nothing else: it is no dependency of the package.  The training is numpy's: plain
gradient descent with momentum, a fixed seed.  Another BLAS may round otherwise, so what counts are the files kept here.
"""

import json
import sys
from pathlib import Path

import numpy as np

HIDDEN, CLASSES, TESTED, SEED = 32, 10, 450, 0
EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 120, 32, 0.05, 0.9, 2e-4
SHIFT = 24                                # of the fixed-point factor between the layers


def split(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return images and labels to train with, and 450 of each to test with, all of them shuffled once."""
    order = np.random.default_rng(SEED).permutation(len(images))
    test, train = order[:TESTED], order[TESTED:]
    return images[train], labels[train], images[test], labels[test]


def train(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return weights and biases of both layers, for pixels as they are, 0 to 16."""
    rng = np.random.default_rng(SEED)
    w1, w2 = rng.normal(0, (2 / 64) ** 0.5, (64, HIDDEN)), rng.normal(0, (2 / HIDDEN) ** 0.5, (HIDDEN, CLASSES))
    model = [w1, np.zeros(HIDDEN), w2, np.zeros(CLASSES)]
    speed = [np.zeros_like(each) for each in model]
    x, wanted = images / 16, np.eye(CLASSES)[labels]
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        for at in range(0, len(x), BATCH):
            some = order[at:at + BATCH]
            hidden = np.maximum(x[some] @ model[0] + model[1], 0)
            logits = hidden @ model[2] + model[3]
            chance = np.exp(logits - logits.max(1, keepdims=True))
            error = (chance / chance.sum(1, keepdims=True) - wanted[some]) / len(some)
            back = error @ model[2].T * (hidden > 0)
            slopes = [x[some].T @ back + DECAY * model[0], back.sum(0), hidden.T @ error + DECAY * model[2], error.sum(0)]
            for each, pace, slope in zip(model, speed, slopes):
                pace *= MOMENTUM
                pace -= RATE * (1 - epoch / EPOCHS) * slope
                each += pace
    model[0] /= 16
    return model


def quantise(model: list[np.ndarray], images: np.ndarray) -> tuple[list[np.ndarray], int]:
    """Return int8 weights and int32 biases of both layers, and the factor (over 2^24) that makes int8 of the first layer's sums."""
    w1, b1, w2, b2 = model
    scale1 = 127 / np.abs(w1).max()
    hidden = np.maximum(images @ w1 + b1, 0)
    scale_hidden = 127 / hidden.max()
    scale2 = 127 / np.abs(w2).max()
    whole = [np.rint(w1 * scale1), np.rint(b1 * scale1), np.rint(w2 * scale2), np.rint(b2 * scale2 * scale_hidden)]
    return whole, round(scale_hidden / scale1 * (1 << SHIFT))


def main(folder: str) -> None:
    """Write all files into `folder`."""
    from sklearn.datasets import load_digits
    found = load_digits()
    images, labels, test, answers = split(found.data, found.target)
    model = train(images, labels)
    (w1, b1, w2, b2), factor = quantise(model, images)
    here = Path(folder)
    (here / "weights.bin").write_bytes(w1.astype("i1").tobytes() + w2.astype("i1").tobytes())
    (here / "biases.bin").write_bytes(b1.astype("<i4").tobytes() + b2.astype("<i4").tobytes())
    (here / "images.bin").write_bytes(test.astype("i1").tobytes())
    (here / "labels.bin").write_bytes(answers.astype("u1").tobytes())
    layers = [{"inputs": 64, "outputs": HIDDEN, "factor": factor, "shift": SHIFT}, {"inputs": HIDDEN, "outputs": CLASSES}]
    (here / "network.json").write_text(json.dumps({"layers": layers, "images": TESTED}, indent=1) + "\n")
    floats = np.maximum(test @ model[0] + model[1], 0) @ model[2] + model[3]
    sums = test.astype(int) @ w1.astype(int) + b1.astype(int)
    hidden = np.clip(np.maximum(sums, 0) * factor + (1 << SHIFT - 1) >> SHIFT, -128, 127)
    logits = hidden @ w2.astype(int) + b2.astype(int)
    print(f"floats {np.mean(floats.argmax(1) == answers):.4f}, int8 {np.mean(logits.argmax(1) == answers):.4f}, "
          f"same {np.mean(logits.argmax(1) == floats.argmax(1)):.4f}, sums to {np.abs(sums).max()} and {np.abs(logits).max()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
