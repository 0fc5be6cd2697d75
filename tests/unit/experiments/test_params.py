"""Parameters declared once: the check, the command line and the schema say the same."""

import argparse
import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass, fields

import pytest

from vmio.__main__ import main
from vmio.experiments import disk, params
from vmio.experiments.disk import DiskParams
from vmio.experiments.params import param
from vmio.experiments.ringload import LoadParams


@dataclass(frozen=True)
class Few:
    depth: int = param(4, "requests in flight", low=1, high=8, multiple=2, unit="requests")
    way: str = param("a", "which way", choices=("a", "b"), modes=("split",))
    fast: bool = param(False, "make haste", flag=True, option="haste")
    rest: int = param(0, "what remains", low=0)


def parsed(*words):
    parser = argparse.ArgumentParser()
    params.add_options(parser, Few)
    return params.from_options(Few, parser.parse_args(words))


def test_defaults_and_options_make_the_same_object():
    assert parsed() == Few()
    assert parsed("--depth", "2", "--way", "b", "--haste", "--rest", "9") == Few(2, "b", True, 9)


@pytest.mark.parametrize("wrong, words", [
    (dict(depth=0), "depth 0: 1 to 8, a multiple of 2"), (dict(depth=10), "depth 10: 1 to 8, a multiple of 2"),
    (dict(depth=3), "depth 3: 1 to 8, a multiple of 2"), (dict(depth=True), "depth True: 1 to 8, a multiple of 2"),
    (dict(depth="4"), "depth '4': 1 to 8, a multiple of 2"), (dict(depth=4.0), "depth 4.0: 1 to 8, a multiple of 2"),
    (dict(way="c"), "way 'c': choose one of a, b"), (dict(rest=-1), "rest -1: at least 0")])
def test_what_is_not_allowed_is_named_with_what_is(wrong, words):
    with pytest.raises(ValueError) as refused:
        params.check(Few(**wrong))
    assert str(refused.value) == words


def test_bounds_are_allowed():
    for depth, rest in ((2, 0), (8, 10**9)):
        assert params.check(Few(depth=depth, rest=rest)) == Few(depth=depth, rest=rest)


def test_the_schema_says_the_same():
    assert params.schema(Few, "few")["properties"] == {
        "depth": {"type": "integer", "default": 4, "description": "requests in flight", "minimum": 1, "maximum": 8,
                  "multipleOf": 2, "unit": "requests"},
        "way": {"type": "string", "default": "a", "description": "which way", "enum": ["a", "b"], "modes": ["split"]},
        "fast": {"type": "boolean", "default": False, "description": "make haste"},
        "rest": {"type": "integer", "default": 0, "description": "what remains", "minimum": 0}}


def test_every_field_of_the_disk_is_declared():
    assert set(params.specs(DiskParams)) == {one.name for one in fields(DiskParams)}
    assert params.check(DiskParams()) == DiskParams()


def run(*words):
    return subprocess.run([sys.executable, "-m", "vmio", "run", *words], capture_output=True, text=True)


def test_the_command_prints_its_schema():
    assert json.loads(run("--schema").stdout) == json.loads(json.dumps(params.schema(DiskParams, "vmio run --device disk")))


def test_the_command_checks_by_the_declaration():
    done = run("--mode", "split", "--ring-kib", "6")
    assert (done.returncode, done.stderr) == (2, "vmio run: ring_kib 6: 8 to 4,096, a multiple of 4\n")


IGNORED = [   # in which mode, what is given, where it has an effect
    ("emulated", "--queue-depth 2", "split and passthrough"), ("passthrough", "--dma", "emulated"),
    ("split", "--no-string", "emulated"), ("split", "--width 4", "emulated"), ("emulated", "--ring-kib 64", "split"),
    ("passthrough", "--batch 2", "split"), ("emulated", "--signals each", "split"), ("passthrough", "--signals always", "split"),
    ("emulated", "--doorbell monitor", "split"), ("passthrough", "--doorbell monitor", "split"),
    ("split", "--iommu strict", "passthrough"), ("emulated", "--interrupts posted", "passthrough"),
    ("split", "--interrupts posted", "passthrough"), ("emulated", "--vcpus 2", "split"), ("passthrough", "--channels 2", "split"),
    ("emulated", "--apic emulated", "split and passthrough"), ("passthrough", "--confidential", "split"),
    ("emulated", "--dialect virtio", "split"), ("passthrough", "--virtqueue packed", "split"), ("emulated", "--entries 64", "split"),
    ("passthrough", "--no-indirect", "split"), ("emulated", "--no-event-idx", "split")]
BESIDE = dict.fromkeys(("--virtqueue", "--entries", "--no-indirect", "--no-event-idx"), ("--dialect", "virtio"))    # what they need


@pytest.mark.parametrize("mode, option, modes", IGNORED)
def test_an_option_that_a_mode_ignores_is_refused(mode, option, modes, capsys):
    assert main(["run", "--mode", mode, "--bytes", "4096", *option.split()]) == 2
    assert capsys.readouterr().err == f"vmio run: {option}: not in this mode, {mode}; only in {modes}\n"
    assert main(["run", "--mode", modes.split()[0], "--bytes", "4096", *option.split(), *BESIDE.get(option.split()[0], ())]) == 0


def test_every_option_of_one_mode_is_tried_above():
    tried = {option.split()[0] for _, option, _ in IGNORED}
    assert tried == {spec.said(name, None).split()[0] for name, spec in params.specs(DiskParams).items() if spec.modes}


@pytest.mark.parametrize("words, complaint", [
    ("--mode passthrough --polled --interrupts posted", "--interrupts posted: no effect beside --polled"),
    ("--volume a", "--volume a: no effect without --trace"),
    ("--trace t --bytes 4096", "--bytes 4096: no effect beside --trace, whose requests have sizes of their own"),
    ("--trace t --block 512", "--block 512: no effect beside --trace, whose requests have sizes of their own")])
def test_an_option_that_another_one_replaces_is_refused(words, complaint, capsys):
    assert main(["run", *words.split()]) == 2
    assert capsys.readouterr().err == f"vmio run: {complaint}\n"


def test_a_sweep_over_the_modes_may_share_its_parameters():
    for mode in disk.MODES:
        assert disk.run(DiskParams(mode=mode, bytes=4096, queue_depth=4, iommu="strict", transfer="dma")).requests == 1


def test_an_old_name_is_told_the_new_one():
    @params.known_by_new_names
    @dataclass(frozen=True)
    class Queue:
        free_pages: int = param(1, "pages that are free", low=0, was="room")

    assert Queue(free_pages=3).free_pages == Queue(3).free_pages == 3
    with pytest.raises(ValueError, match="^room: is called free_pages now$"):
        Queue(room=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rooms'"):
        Queue(rooms=3)
    with pytest.raises(ValueError, match="^room: is called pending_records now$"):
        LoadParams(room=0)


def test_all_counts_as_csv(tmp_path):
    path = tmp_path / "counts.csv"
    done = run("--mode", "split", "--bytes", "8192", "--csv", str(path), "--json")
    rows = list(csv.reader(io.StringIO(path.read_text())))
    counts = json.loads(done.stdout)
    assert rows[0] == ["section", "name", "value"]
    assert ["exits", "HLT", str(counts["exits"]["HLT"])] in rows and ["", "sha256", counts["sha256"]] in rows
    assert ["params", "mode", "split"] in rows
    assert len(rows) == 1 + sum(len(value) if isinstance(value, dict) else 1 for value in counts.values())


def test_two_outputs_need_two_files(tmp_path):
    path = str(tmp_path / "both")
    done = run("--bytes", "8192", "--save", path, "--csv", path)
    assert done.returncode == 2 and done.stderr == f"vmio run: --save and --csv: both are {path}; two outputs need two files\n"


def test_the_result_has_a_schema_version():
    assert disk.run(DiskParams(bytes=4096)).to_dict()["schema"] == "vmio.disk/1"


@pytest.mark.parametrize("device", ["disk", "net"])
def test_only_a_confidential_guest_has_a_bounce_pool(device, capsys):
    more = ["--pcap", "data/http.pcap"] if device == "net" else []
    assert main(["run", "--device", device, "--mode", "split", "--pool-kib", "512", *more]) == 2
    assert capsys.readouterr().err == "vmio run: pool_kib 512: only a confidential guest has a bounce pool\n"


def test_a_confidential_run_says_what_was_bounced(capsys):
    assert main(["run", "--mode", "split", "--confidential", "--pool-kib", "512", "--bytes", "1048576", "--block", "1048576", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bounced"] == {"bytes copied": 2 << 20, "mappings": 5, "pool full": told["bounced"]["pool full"]} and told["bounced"]["pool full"] > 0
    assert main(["run", "--mode", "split", "--bytes", "1048576", "--block", "1048576", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["bounced"] == {} and plain["sha256"] == told["sha256"]
