"""`vmio checkpoint` and `vmio restore`: a run that is stopped anywhere and goes on elsewhere has the result of one that nobody disturbed."""

import json

import pytest
from tests.command_rig import DISK, names, refused, vmio

from vmio import data
from vmio.experiments import disk, net, saved_run
from vmio.experiments.disk import DiskParams
from vmio.experiments.net_params import NetParams
from vmio.experiments.traces.request import Request, Trace
from vmio.machine import checkpoint_file
from vmio.machine.checkpoint import CheckpointRefused, from_json, to_json
from vmio.machine.net import pcap
from vmio.machine.storage import Image

KIB = 1 << 10
RUNS = {
    "PIO, two guests": DiskParams(bytes=32 * KIB, guests=2),
    "DMA, polled": DiskParams(bytes=64 * KIB, transfer="dma", polled=True),
    "four guests, split": DiskParams(mode="split", bytes=128 * KIB, queue_depth=8, guests=4),
    "split, two vCPUs with a channel each": DiskParams(mode="split", bytes=128 * KIB, queue_depth=4, vcpus=2, guests=2),
    "split, three vCPUs and one channel": DiskParams(mode="split", bytes=64 * KIB, vcpus=3, channels=1),
    "split, by the monitor page, polled": DiskParams(mode="split", bytes=32 * KIB, doorbell="monitor", polled=True),
    "split, under KVM": DiskParams(mode="split", bytes=64 * KIB, guests=2, host_cores=1, host="kvm"),
    "passthrough, strict": DiskParams(mode="passthrough", bytes=256 * KIB, queue_depth=8, guests=2, iommu="strict"),
    "passthrough, posted": DiskParams(mode="passthrough", bytes=256 * KIB, queue_depth=8, delivery="posted"),
}
SENT = data.path("http.pcap")
NETS = {"emulated": NetParams(), "emulated, held back": NetParams(chip="21143", hold_frames=4, hold_us=200), "split": NetParams(mode="split"),
        "passthrough": NetParams(mode="passthrough"), "passthrough, posted": NetParams(mode="passthrough", delivery="posted", gap_us=30)}


def through_json(state):
    return from_json(to_json(state))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_with_disks_ends_as_if_undisturbed(name):
    params = RUNS[name]
    whole = disk.run(params)
    end = max(whole.virtual_ns, 1)
    paused = None
    for share in (0.03, 0.3, 0.6, 0.9):
        try:
            paused = saved_run.pause_disk(params, int(share * end) + 1)
        except ValueError as error:        # its clock counts from power-on, that of the result from the end of the set-up
            assert "nothing left to be saved" in str(error)
            break
        again = saved_run.resume(through_json(paused.state))
        assert again == whole and again.to_dict() == whole.to_dict()
        assert (again.rings, again.latencies, again.to_csv()) == (whole.rings, whole.latencies, whole.to_csv())
    assert paused is not None


def test_requests_are_in_flight_where_it_is_stopped():
    paused = saved_run.pause_disk(RUNS["four guests, split"], 600_000)
    assert paused.under_way == 4 * 8 and 600_000 <= paused.at_ns < 700_000 and paused.steps > 100


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("at", (50_000, 700_000, 3_000_000, 6_000_000))
def test_a_run_with_a_network_card_ends_as_if_undisturbed(name, at):
    frames = pcap.load(SENT)
    whole = net.run(NETS[name], frames)
    again = saved_run.resume(through_json(saved_run.pause_net(NETS[name], at, frames).state))
    assert again == whole and again.captured() == whole.captured() and again.latencies_ns == whole.latencies_ns


def test_writes_flushes_and_discards_at_their_times():
    trace = Trace("test")
    for n in range(24):
        trace.add(n, 20_000 * n, Request("RWFD"[n % 4], 0 if n % 4 == 2 else 64 * n, 0 if n % 4 == 2 else 8 + n))
    params = DiskParams(mode="split", queue_depth=4, timed=True, guests=2)
    image = Image.open(DISK)
    whole = disk.run(params, trace, image)
    for at in range(100_000, 900_000, 200_000):
        again = saved_run.resume(through_json(saved_run.pause_disk(params, at, trace, image).state), Image.open(DISK))
        assert again == whole and again.not_issued == whole.not_issued
        assert [each.read(0, 2048) for each in again.images] == [each.read(0, 2048) for each in whole.images]


# What is refused.

def state_of(**more):
    return through_json(saved_run.pause_disk(DiskParams(mode="split", bytes=64 * KIB, guests=2, **more), 500_000).state)


@pytest.mark.parametrize("change, why", [
    (lambda state: state.update(device="fax"), "device 'fax'; disk and net can be run"),
    (lambda state: state["params"].update(guests=3), "checkpoint, plan: saved with"),
    (lambda state: state["params"].update(costs="server-1999"), "checkpoint: damaged, "),
    (lambda state: state["params"].update(guests=0), "guests 0: 1 to 256"),
    (lambda state: state["params"].update(surprise=0), "unknown entry 'surprise'"),
    (lambda state: state["params"].pop("bytes"), "no entry 'bytes'"),
    (lambda state: state.update(version=9), "checkpoint, run: version 9; version 1 can be read"),
    (lambda state: state.update(extra=9), "checkpoint, run: unknown entry 'extra'"),
    (lambda state: state["machine"].update(version=2), "checkpoint, machine: version 2; version 3 can be read"),
    (lambda state: state["machine"]["beside"][0].update(clock=1), "checkpoint, disk run: unknown entry 'clock'"),
    (lambda state: state["machine"]["beside"].pop(), "checkpoint: damaged, "),
    (lambda state: state.update(image=["disk.img", 8, "00"]), "the run had an image, which must be there"),
    (lambda state: state.update(work=[[["R", 0, "x"]], None]), "checkpoint"),
    (lambda state: state.pop("device"), "it is none of a run; `vmio checkpoint` writes those"),
])
def test_a_state_that_can_t_be_a_run_s_is_one_sentence(change, why):
    state = state_of()
    change(state)
    with pytest.raises(CheckpointRefused) as told:
        saved_run.resume(state)
    assert why in str(told.value) and "\n" not in str(told.value) and str(told.value).startswith("checkpoint")


def test_a_state_that_was_made_up_gives_no_guest_another_s_memory():
    state = state_of()
    ours, theirs = (each["guest"]["backing"]["runs"] for each in state["machine"]["guests"])
    ours[0][1] = theirs[0][1]
    with pytest.raises(CheckpointRefused, match="guests guest0 and guest1 have the same memory at 0x"):
        saved_run.resume(state)
    ours[0][1] = 1 << 40
    with pytest.raises(CheckpointRefused, match="guest guest0 has memory that the host has not"):
        saved_run.resume(state)


def test_a_run_that_is_over_by_then():
    with pytest.raises(ValueError, match=r"--at 9,000,000,000: the run is over after [\d,]+ ns of virtual time; there is nothing left"):
        saved_run.pause_disk(DiskParams(bytes=8 * KIB), 9_000_000_000)


# As commands.

def test_two_processes_give_the_result_of_one(tmp_path):
    (tmp_path / "disk.img").write_bytes(DISK)
    options = ("--mode", "split", "--guests", "2", "--queue-depth", "4", "--bytes", "131072", "--image", tmp_path / "disk.img")
    whole = vmio("run", *options, "--json")
    kept = tmp_path / "half.vmio"
    told = json.loads(vmio("checkpoint", kept, "--at", "600000", *options, "--json").stdout)
    assert told == {"schema": "vmio.checkpoint/1", "file": str(kept), "bytes": kept.stat().st_size, "at_ns": told["at_ns"], "steps": told["steps"],
                    "under_way": 8}
    before = kept.read_bytes()
    again = vmio("restore", kept, "--save", tmp_path / "end.img", "--csv", tmp_path / "end.csv", "--json")
    assert again.stdout == whole.stdout and again.returncode == 0 and kept.read_bytes() == before
    assert (tmp_path / "end.img").read_bytes() == DISK and names(tmp_path) == ["disk.img", "end.csv", "end.img", "half.vmio"]
    assert "split disk: 64 requests" in vmio("restore", kept).stdout
    (tmp_path / "disk.img").rename(tmp_path / "moved.img")
    refused(vmio("restore", kept), "disk.img")
    assert vmio("restore", kept, "--image", tmp_path / "moved.img", "--json").stdout == whole.stdout
    (tmp_path / "moved.img").write_bytes(DISK[:-1] + b"!")
    refused(vmio("restore", kept, "--image", tmp_path / "moved.img"), "image (sectors, and SHA-256 of what is in them): saved with")


def test_what_is_no_checkpoint_of_a_run_is_refused_and_nothing_is_written(tmp_path):
    kept = tmp_path / "half.vmio"
    vmio("checkpoint", kept, "--at", "300000", "--bytes", "65536")
    whole = kept.read_bytes()
    (tmp_path / "end.img").write_bytes(b"mine")
    for change, why in ((lambda data: data[:-9], "it is not whole"), (lambda data: data.replace(b"checkpoint 1", b"checkpoint 7"), "format '7'"),
                        (lambda data: data.replace(b'"now"', b'"wow"', 1), "it has been altered"), (lambda data: b"hello", "it is none")):
        kept.write_bytes(change(whole))
        refused(vmio("restore", kept, "--save", tmp_path / "end.img"), why)
    checkpoint_file.write(kept, from_json(whole.partition(b"\n")[2].decode()) | {"more": 1})
    refused(vmio("restore", kept, "--save", tmp_path / "end.img"), f"checkpoint {kept}, run: unknown entry 'more'")
    assert (tmp_path / "end.img").read_bytes() == b"mine" and names(tmp_path) == ["end.img", "half.vmio"]


def test_a_file_that_is_there_stays_when_the_run_can_t_be_kept(tmp_path):
    kept = tmp_path / "half.vmio"
    kept.write_bytes(b"mine")
    refused(vmio("checkpoint", kept, "--at", "900000000000", "--bytes", "8192"), "nothing left to be saved")
    refused(vmio("checkpoint", kept, "--at", "0"), "--at 0: at least 1 ns")
    refused(vmio("checkpoint", kept, "--at", "9", "--image", kept), "it is the same file as --image")
    refused(vmio("restore", tmp_path / "no.vmio"), "it can't be read: No such file")
    refused(vmio("restore", kept, "--save", kept), "it is the same file as checkpoint")
    assert kept.read_bytes() == b"mine" and names(tmp_path) == ["half.vmio"]


@pytest.mark.parametrize("mode", ["split", "passthrough"])
def test_a_network_card_s_run_by_commands(tmp_path, mode):
    kept = tmp_path / "half.vmio"
    whole = vmio("run", "--device", "net", "--mode", mode, "--save", tmp_path / "a.pcap", "--json").stdout
    vmio("checkpoint", kept, "--at", "2000000", "--device", "net", "--mode", mode)
    assert vmio("restore", kept, "--save", tmp_path / "b.pcap", "--json").stdout == whole
    assert (tmp_path / "a.pcap").read_bytes() == (tmp_path / "b.pcap").read_bytes()
    refused(vmio("restore", kept, "--csv", tmp_path / "c.csv"), "only of a disk's run")
