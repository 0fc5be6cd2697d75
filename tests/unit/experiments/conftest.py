"""The recorded traces and the image that they were taken on, and what emulated mode makes of each: the other modes' results are held to it."""

import pytest

from vmio import data
from vmio.experiments import disk, trace
from vmio.experiments.disk import DiskParams
from vmio.machine.storage import Image


@pytest.fixture(scope="session")
def image():
    return Image.open(data.path("licenses-ext4.img.gz"))


@pytest.fixture(scope="session", params=sorted(data.path("traces").glob("*.csv")), ids=lambda path: path.stem)
def emulated(request, image):
    """(its requests, the result)."""
    requests = trace.load(request.param)
    return requests, disk.run(DiskParams(transfer="dma"), requests, image)
