"""A captured conversation over a virtio card beside one over VMBus: the same frames, fewer times told; what one dialect alone has is refused in the other."""

from functools import cache

import pytest

from vmio import data
from vmio.experiments import net
from vmio.experiments.net_params import NetParams
from vmio.machine.net import pcap


@cache
def ran(**params):
    return net.run(NetParams(**params), pcap.load(data.path("http.pcap"))[:60])


def test_the_same_frames_those_of_the_guest_padded_for_the_wire():
    virtio, vmbus = ran(mode="split", dialect="virtio"), ran(mode="split")
    assert virtio.packets == vmbus.packets == 60 and virtio.drops == 0
    guest = vmbus.frames[0][6:12]
    assert [frame.ljust(60, b"\0") if frame[6:12] == guest else frame for frame in vmbus.frames] == virtio.frames


def test_a_kick_is_the_exit_that_a_signal_is():
    virtio, vmbus = ran(mode="split", dialect="virtio"), ran(mode="split")
    assert virtio.exits_by_device["virtio doorbell"] == virtio.signals > 0 and vmbus.exits["VMCALL"] == vmbus.signals
    assert virtio.signals < vmbus.signals                     # buffers for what comes are lent again without a word
    assert virtio.to_dict()["params"]["dialect"] == "virtio" and virtio.table().startswith("split network card (virtio): 60 frames")
    assert vmbus.table().startswith("split network card: 60 frames")


@pytest.mark.parametrize("params, why", [
    ({"mode": "split", "dialect": "virtio", "batch": 3}, "--batch 3: not in the dialect virtio; only in vmbus"),
    ({"mode": "split", "dialect": "virtio", "confidential": True}, "--confidential: not in the dialect virtio; only in vmbus"),
    ({"mode": "split", "dialect": "xen"}, "dialect 'xen': choose one of vmbus, virtio")])
def test_what_can_not_be(params, why):
    with pytest.raises(ValueError, match=why):
        NetParams(**params).check()
