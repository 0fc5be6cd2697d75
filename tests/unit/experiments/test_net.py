"""A captured conversation between a guest and the rest: every frame, in order, and what it cost; captures that can't be used."""

import hashlib
import json

import pytest
from tests.command_rig import refused, vmio
from tests.net_rig import BROADCAST, GROUP, PEER, US, frame

from vmio import data
from vmio.experiments import net, params
from vmio.experiments.net_params import NetParams
from vmio.machine.net import pcap

DOWNLOAD = data.path("http.pcap")
WHOLE = hashlib.sha256(b"".join(each.frame for each in pcap.load(DOWNLOAD))).hexdigest()


def captured(*frames):
    return [pcap.Captured(1000 * n, each) for n, each in enumerate(frames)]


@pytest.mark.parametrize("told", [NetParams(), NetParams(pace="instant"), NetParams("split"), NetParams("split", batch=1), NetParams("passthrough"),
                                    NetParams("passthrough", delivery="posted")],
                         ids=["emulated", "without a pace", "split", "a record each", "passthrough", "posted"])
def test_a_download(told):
    result = net.run(told, pcap.load(DOWNLOAD))
    assert (result.packets, result.bytes, result.sha256, result.drops) == (224, 277_224, WHOLE, 0)
    assert (result.sent_by_guest, result.received_by_guest) == (33, 191)
    assert result.frames == [each.frame for each in pcap.load(DOWNLOAD)]
    assert result.exits_total == sum(result.exits_by_device.values()) == sum(result.exits_by_instruction.values())
    emulated = told.mode == "emulated"
    assert set(result.exits_by_device) == ({"tulip", "pic", "hypervisor"} if emulated else {"hypervisor"})
    assert result.signals == result.exits_by_instruction.get("VMCALL", 0) and bool(result.signals) == (told.mode == "split")
    assert result == net.run(told, pcap.load(DOWNLOAD))


def test_what_one_frame_costs():
    one = net.run(NetParams(), captured(frame(PEER, US)))
    assert (one.exits_by_device["tulip"], one.interrupts) == (5, 1)                  # W CSR1; an interrupt that finds it sent
    two = net.run(NetParams(), captured(frame(PEER, US), frame()))
    assert two.exits_by_device["tulip"] == 5 + 9 and two.interrupts == 2
    assert two.setup_exits == one.setup_exits > 25_000


def test_frames_of_a_card_of_its_own_are_no_exits():
    out = captured(*[frame(PEER, US, 60, n) for n in range(64)])
    for delivery, reasons in (("injected", {"HLT", "EXTERNAL_INTERRUPT"}), ("posted", {"HLT"})):
        result = net.run(NetParams("passthrough", delivery=delivery), out)
        assert set(result.exits) <= reasons and result.exits_total < 8 and result.packets == 64
        assert 0 < result.setup_exits < 200


def test_more_frames_in_a_record_are_fewer_exits():
    out = captured(*[frame(PEER, US, 60, n) for n in range(64)])
    one, eight = (net.run(NetParams("split", batch=batch), out) for batch in (1, 8))
    assert one.sha256 == eight.sha256 == net.run(NetParams(), out).sha256 and one.exits_total > eight.exits_total


def held(**options):
    """200 small frames, 25 us apart, to a 21143."""
    return net.run(NetParams(chip="21143", gap_us=20, **options), captured(frame(PEER, US), *[frame(length=60, seed=n) for n in range(200)]))


def test_fewer_interrupts_and_a_longer_wait():
    at_once, *rest = results = [held(hold_frames=frames, hold_us=frames and 500) for frames in (0, 2, 4, 7)]
    assert at_once.interrupts == 201 and at_once.interrupts_per_packet == 1.0
    assert [result.interrupts - 1 for result in rest] == [100, 50, 29]
    assert all(later.latency_p99_ns > before.latency_p99_ns and later.exits_total < before.exits_total
               for before, later in zip(results, rest))
    assert {result.sha256 for result in results} == {at_once.sha256} and all(len(result.latencies_ns) == 200 for result in results)
    assert at_once.latency_p50_ns == sorted(at_once.latencies_ns)[99] and at_once.latency_p99_ns == sorted(at_once.latencies_ns)[197]


def test_a_time_alone_waits_for_a_pause():
    short = held(hold_us=10)                    # each frame has its interrupt, later
    assert short.interrupts == 201 and short.latency_p50_ns == held().latency_p50_ns + 2 * 5_120
    long = held(hold_us=500)                    # the ring runs out first
    assert long.interrupts < 5 and long.latency_p99_ns > 1_000_000


def test_a_driver_that_chooses_by_itself():
    result = held(adaptive=True)
    assert result.drops == 0 and result.latency_p50_ns > held().latency_p50_ns


def test_polls_of_a_few_frames():
    out = captured(frame(PEER, US), *[frame(length=60, seed=n) for n in range(200)])
    one, many = (net.run(NetParams(budget=budget), out) for budget in (1, 64))
    assert one.sha256 == many.sha256 and one.exits_total > many.exits_total


def test_waits_are_counted_in_every_mode_and_from_outside_alone():
    for mode in net.MODES:
        result = net.run(NetParams(mode), captured(frame(PEER, US), frame(), frame(PEER, US, seed=1)))
        assert len(result.latencies_ns) == 1 and 0 < result.latency_p50_ns == result.latency_p99_ns
    assert net.run(NetParams(), captured(frame(PEER, US))).latency_p50_ns == 0
    told = held(hold_frames=2, hold_us=100).to_dict()
    assert told["interrupts_per_packet"] < 0.6 and told["latency_p99_ns"] > told["latency_p50_ns"] and "latencies_ns" not in told


def test_options_without_an_effect():
    with pytest.raises(ValueError, match="^--chip 21143: not in this mode, split; only in emulated$"):
        params.check_effects(NetParams("split", chip="21143"), "split")
    with pytest.raises(ValueError, match="^--hold-us 9: no effect beside --adaptive$"):
        params.check_effects(NetParams(chip="21143", adaptive=True, hold_us=9), "emulated")


def test_frames_to_nobody_are_lost_and_said_to_be():
    frames = frame(PEER, US), frame(bytes([2, 0, 0, 0, 0, 7])), frame(BROADCAST), frame(GROUP), frame(PEER)
    result = net.run(NetParams(), captured(*frames))
    assert (result.packets, result.drops) == (3, 2) and result.frames == [frames[0], frames[2], frames[3]]


@pytest.mark.parametrize("mode", net.MODES)
def test_bursts_longer_than_a_ring(mode):
    back = [frame(seed=n, length=60) for n in range(600)]
    out = [frame(PEER, US, 60, n) for n in range(100)]
    result = net.run(NetParams(mode), captured(*out, *back))
    assert result.drops == 0 and result.frames == [*out, *back]


def test_what_can_not_be_run():
    with pytest.raises(ValueError, match="^capture: it holds no frames$"):
        net.run(NetParams(), [])
    with pytest.raises(ValueError, match="^x.pcap, frame 1: its source, which the guest's card is to have: address 01:00:5e:00:00:01: a group's"):
        net.run(NetParams(), captured(frame(US, GROUP)), "x.pcap")
    with pytest.raises(ValueError, match="chip 21140A: it can't hold interrupts back"):
        net.run(NetParams(hold_us=10), captured(frame()))
    with pytest.raises(ValueError, match="hold_frames 3: without hold_us the last frames would wait"):
        net.run(NetParams(chip="21143", hold_frames=3), captured(frame()))
    with pytest.raises(ValueError, match="hold_us 1229: 0 to 1,228"):
        net.run(NetParams(chip="21143", hold_us=1229), captured(frame()))
    with pytest.raises(ValueError, match="mode 'assigned': choose one of emulated, split, passthrough"):
        net.run(NetParams("assigned"), captured(frame()))


def test_the_command(tmp_path):
    done = vmio("run", "--device", "net", "--mode", "emulated", "--pcap", DOWNLOAD, "--json", "--save", tmp_path / "out.pcap")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and (told["schema"], told["packets"], told["bytes"], told["sha256"], told["drops"]) == (
        "vmio.net/1", 224, 277_224, WHOLE, 0)
    assert {"exits", "exits_total", "interrupts", "signals"} <= told.keys()
    saved = pcap.load(tmp_path / "out.pcap")
    assert [each.frame for each in saved] == [each.frame for each in pcap.load(DOWNLOAD)]
    assert [each.ns for each in saved] == sorted(each.ns for each in saved)
    table = vmio("run", "--device=net").stdout
    assert table.startswith("emulated network card: 224 frames (33 of the guest's), 277,224 bytes, 0 lost, sha256 " + WHOLE[:16])
    schema = json.loads(vmio("run", "--device", "net", "--schema").stdout)
    assert schema["title"] == "vmio run --device net" and schema["properties"]["pace"]["enum"] == ["instant", "wire"]


@pytest.mark.parametrize(("content", "why"), [
    (b"", "the file is empty"), (b"time_us,op,lba,sectors\n", "it begins with 74 69 6d 65"),
    (pcap.build([(0, frame())])[:-1], "frame 1: the file ends after 99 of its 100 bytes; it was cut"),
    (pcap.build([(0, frame(length=9014))]), "a jumbo of 9,014 bytes"), (pcap.build([(0, frame()[:13])]), "a runt of 13 bytes"),
    (pcap.build([(0, frame(US, GROUP))]), "a group's")])
def test_captures_that_are_none(tmp_path, content, why):
    path = tmp_path / "some.pcap"
    path.write_bytes(content)
    refused(vmio("run", "--device", "net", "--pcap", path), why)


def test_files_are_safe(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(DOWNLOAD.read_bytes())
    refused(vmio("run", "--device", "net", "--pcap", path, "--save", path), "same file as --pcap")
    refused(vmio("run", "--device", "net", "--pcap", tmp_path / "none.pcap"), "No such file")
    refused(vmio("run", "--device", "net", "--pcap", ""), "--pcap: the name is empty")
    assert path.read_bytes() == DOWNLOAD.read_bytes()
    for words in (["--device", "tape"], ["--device", "net", "--trace", "x"], ["--device"], ["--pcap", "x"]):
        done = vmio("run", *words)
        assert done.returncode == 2 and "error:" in done.stderr and "Traceback" not in done.stderr
