"""The monitor: it counts what the machine counts, costs nothing when off, and says it in the forms that people know."""

from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vmio.experiments.pattern import pattern
from vmio.machine.overlay import Overlay
from vmio.manage.monitor import kvmstat, perfmon, prometheus, sysfs
from vmio.manage.monitor.metrics import DECLARED, EDGES, METRICS, Sample
from vmio.manage.monitor.monitor import Monitor, devices
from vmio.manage.monitor.psi import PERIOD_US, Pressure, Stalled, shown
from vmio.modes import Machine, attachment

READS = 20


def reader(guest, reads=READS):
    def program(cpu, disk):
        for n in range(reads):
            disk.submit("read", 8 * n, 8, guest.attachments[0].driver_memory, n)
            disk.flush_ring()
            yield from disk.wait()
            assert all(error is None for _, error in disk.reap())
            cpu.compute(1_000)
    return program


def ran(watched=True, recorded=False):
    """(machine, monitor, recorder) after reads by an emulated, a split and an assigned disk."""
    machine = Machine(cores=2)
    machine.guest("old", attachment("disk", "emulated", transfer="dma"), Overlay(pattern(1)))
    machine.guest("new", attachment("disk", "split"), Overlay(pattern(1)))
    machine.guest("fast", attachment("disk", "passthrough", iommu="strict"), Overlay(pattern(1)))
    machine.power_on()
    monitor, recorder = Monitor(machine), kvmstat.ExitRecorder(machine)
    if watched:
        monitor.on()
    if recorded:
        recorder.on()
    machine.run(*[(guest, reader(guest)) for guest in machine.guests])
    return machine, monitor, recorder


@pytest.fixture(scope="module")
def run():
    machine, monitor, recorder = ran(recorded=True)
    return machine, monitor.sample(), recorder


def test_counts_what_the_machine_counts(run):
    machine, sample, _ = run
    for guest in machine.guests:
        exits, name = guest.cpu.exits, guest.name
        assert sample.get("vmio_exits_total", guest=name) == exits.total
        assert sample.get("vmio_exit_seconds_total", guest=name) == exits.ns == sample.get("vmio_vcpu_seconds_total", guest=name, mode="hypervisor")
        assert sample.get("vmio_exits_total", guest=name, reason="HLT") == exits.by_reason()["HLT"] == sample.get("vmio_halts_total", guest=name)
        assert sample.get("vmio_vcpu_interrupts_total", guest=name) == guest.cpu.interrupts
    assert sample.get("vmio_iommu_events_total", guest="fast", event="maps") == machine.guests[2].attachments[0].dma.maps > READS
    assert sample.get("vmio_disk_bytes_total", guest="new") == READS * 4096
    assert sample.get("vmio_host_cores") == 2
    assert sample.ns == machine.host.env.now


def test_requests_are_counted_where_the_host_sees_them(run):
    _, sample, _ = run
    found = {labels: histogram for (name, labels), histogram in sample.histograms.items() if name == "vmio_disk_request_seconds"}
    assert set(found) == {("old", "disk0", "emulated"), ("new", "disk0", "split")}       # what is passed through, the host doesn't see
    for histogram in found.values():
        assert histogram.count == READS and list(histogram.buckets) == sorted(histogram.buckets)
        assert histogram.quantile(1.0) == next(edge for edge in EDGES if edge >= histogram.total_ns / READS)


def test_off_leaves_nothing_behind():
    machine, monitor, _ = ran()
    monitor.off()
    for guest in machine.guests:
        assert guest.cpu.slept is None
        for part in (guest.attachments[0], guest.backends[0]):
            assert getattr(part, "served", None) is None
    before = monitor.sample()
    monitor.on()
    monitor.on()                                 # twice is once
    assert machine.guests[0].cpu.slept is not None and not hasattr(machine.guests[0].cpu.slept, "listeners")
    assert monitor.sample() == before


def test_watching_changes_nothing():
    times = [(machine.host.env.now, [guest.cpu.exits.total for guest in machine.guests])
             for machine, _, _ in (ran(watched=False), ran(), ran(recorded=True))]
    assert times[0] == times[1] == times[2]


@pytest.mark.parametrize("name, labels, words", [("vmio_exists", {}, "metric 'vmio_exists': there is no such; choose one of vmio_exits_total"),
                                                 ("vmio_exits_total", {"gast": "a"}, "metric vmio_exits_total: no label 'gast'; it has guest, vcpu"),
                                                 ("vmio_host_cores", {"guest": "a"}, "no label 'guest'; it has none")])
def test_a_query_for_what_is_not_there(run, name, labels, words):
    with pytest.raises(ValueError, match="metric") as error:
        run[1].get(name, **labels)
    assert words in str(error.value)


def test_windows_add_up_to_the_whole(run):
    _, last, _ = run
    first = Sample(0, {}, {})
    middle = Sample(last.ns // 2, {key: value // 2 for key, value in last.values.items()}, {})
    parts = [late.since(early) for early, late in pairwise((first, middle, last))]
    for (name, labels), value in last.values.items():
        if METRICS[name].kind == "counter":
            assert sum(part.values[name, labels] for part in parts) == value
        else:
            assert parts[1].values[name, labels] == value
    assert sum(part.ns for part in parts) == last.ns


# Prometheus.

def test_its_own_parser_reads_the_text(run):
    _, sample, _ = run
    text = prometheus.text(sample)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.endswith("\n") and "\n\n" not in text and "\r" not in text
    read = {}
    for metric in DECLARED:
        name = metric.name.removesuffix("_total")
        if name in families:
            assert families[name].type == metric.kind and families[name].documentation == metric.help
            read |= {(each.name, tuple(each.labels.values())): each.value for each in families[name].samples}
    assert len(families) == len({name for name, _ in (*sample.values, *sample.histograms)})
    for (name, labels), value in sample.values.items():
        assert read[name, labels] == value / METRICS[name].scale
    for (name, labels), histogram in sample.histograms.items():
        assert read[f"{name}_count", labels] == read[f"{name}_bucket", (*labels, "+Inf")] == histogram.count
        assert read[f"{name}_sum", labels] == pytest.approx(histogram.total_ns / 1e9)


def test_names_of_guests_are_escaped():
    name = 'a "b"\\\nc'
    text = prometheus.text(Sample(0, {("vmio_halts_total", (name, "0")): 1}, {}))
    assert text.count("\n") == 3
    family, = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"guest": name, "vcpu": "0"}


@pytest.mark.parametrize("ns, text", [(0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (-20_000, "-0.00002"), (10**18 + 1, "1000000000.000000001")])
def test_ns_keep_their_digits(ns, text):
    assert prometheus.number(ns, 10**9) == text


# perf and kvm_stat.

def test_the_table_of_perf_to_the_byte():
    """By the widths of print_result in tools/perf/builtin-kvm.c."""
    events = [kvmstat.Event("HLT"), kvmstat.Event("IO_INSTRUCTION")]
    for ns in (1_000, 3_000):
        events[0].add(ns)
    events[1].add(1_234_560)
    assert kvmstat.perf_table(events) == (
        "\n\nAnalyze events for all VMs, all VCPUs:\n\n"
        "             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time \n\n"
        "                 HLT          2    66.67%     0.32%      1.00us      3.00us      2.00us ( +-  50.00% )\n"
        "      IO_INSTRUCTION          1    33.33%    99.68%   1234.56us   1234.56us   1234.56us ( +-   0.00% )\n"
        "\nTotal Samples:3, Total events handled time:1238.56us.\n\n")


def test_what_perf_records_is_what_the_machine_counts(run):
    machine, _, recorder = run
    counted = {}
    for guest in machine.guests:
        for reason, count in guest.cpu.exits.by_reason().items():
            name = {"RDMSR": "MSR_READ", "WRMSR": "MSR_WRITE"}.get(reason, reason)
            counted[name] = counted.get(name, 0) + count
    assert {name: event.count for name, event in recorder.events.items()} == counted
    assert [line.split()[0] for line in recorder.report().splitlines()[6:-3]] == sorted(counted, key=lambda name: (-counted[name], name))
    by_time = recorder.report("time").splitlines()[6:-3]
    assert by_time[0].split()[0] == "HLT"                       # who sleeps is out of the guest all the while
    with pytest.raises(ValueError, match="order 'name': choose one of sample, time"):
        recorder.report("name")


def test_the_lines_of_kvm_stat(run):
    machine, sample, _ = run
    lines = kvmstat.kvm_stat(sample).splitlines()
    values = {line[:42].rstrip(): (int(line[42:52]), int(line[52:62])) for line in lines}
    assert all(len(line) == 62 for line in lines) and list(values) == sorted(values)
    total = sum(guest.cpu.exits.total for guest in machine.guests)
    assert values["exits"] == (total, total) and values["io_exits"][0] == machine.guests[0].cpu.exits.by_reason()["IO_INSTRUCTION"]
    assert {line[52:62] for line in kvmstat.kvm_stat(sample, sample).splitlines()} == {"         0"}


# sysfs.

def counters(guest):
    found = sysfs.files(guest)
    return {path.rsplit("/", 1)[1]: int(content) for path, content in found.items() if "/channels/" in path}


def test_signals_have_their_reasons():
    def run(**options):
        machine = Machine()
        guest = machine.guest("g", attachment("disk", "split", **options), Overlay(pattern(1)))
        machine.power_on()

        def program(cpu, disk):
            for n in range(60):
                disk.submit("read", 8 * n, 8, guest.attachments[0].driver_memory, n)
            disk.flush_ring()
            done = 0
            while done < 60:
                yield from disk.wait()
                done += len(disk.reap())
        guest.run(program)
        return counters(guest)
    usual, small, hasty = run(), run(ring_kib=8), run(signals="always")
    for each in (usual, small, hasty):
        assert each["out_full_first"] <= each["out_full_total"]
    assert usual["out_full_total"] == 0 < small["out_full_first"]
    assert sysfs.forced(usual) == sysfs.forced(small) == 0 < sysfs.forced(hasty) == hasty["events"] - hasty["intr_out_empty"] - hasty["intr_in_full"]
    assert usual["events"] == usual["intr_out_empty"] + usual["intr_in_full"]


def test_files_are_where_linux_has_them(run):
    guest = run[0].guests[1]
    found = sysfs.files(guest)
    device = "/sys/bus/vmbus/devices/" + found[next(path for path in found if path.endswith("device_id"))].strip()[1:-1]
    assert found[f"{device}/class_id"] == "{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}\n"       # SCSI
    assert found[f"{device}/channel_vp_mapping"] == "1:0\n"
    assert {path.removeprefix(f"{device}/channels/1/") for path in found if path.startswith(f"{device}/channels/1/")} == {
        "cpu", "in_mask", "out_mask", "read_avail", "write_avail", "interrupts", "events", "intr_in_full", "intr_out_empty", "out_full_first",
        "out_full_total", "subchannel_id"}
    assert sysfs.files(run[0].guests[0]) == {}             # no bus, no channels


def test_devices_have_names(run):
    assert [[(name, mode) for name, mode, _ in devices(guest)] for guest in run[0].guests] == [
        [("disk0", "emulated")], [("disk0", "split")], [("disk0", "passthrough")]]


# perfmon.

def test_a_processors_total_is_guest_and_hypervisor(run):
    machine, sample, _ = run
    found = perfmon.counters(sample)
    for guest in machine.guests:
        path = perfmon.virtual(guest.name, "0")
        parts = [found[rf"{path}\% {name} Run Time"] for name in ("Guest", "Hypervisor", "Total")]
        assert parts[2] == pytest.approx(parts[0] + parts[1]) and parts[1] == pytest.approx(100 * guest.cpu.exits.ns / sample.ns)
    logical = [found[rf"{perfmon.LOGICAL}\% {name} Run Time"] for name in ("Guest", "Hypervisor", "Total", "Idle")]
    assert logical[2] == pytest.approx(logical[0] + logical[1]) and logical[3] == pytest.approx(100 - logical[2])
    assert logical[0] == pytest.approx(found[rf"{perfmon.ROOT}\% Total Run Time"] + sum(
        found[rf"{perfmon.virtual(guest.name, '0')}\% Guest Run Time"] for guest in machine.guests) / 2)
    assert set(perfmon.counters(sample, sample).values()) == {0.0, 100.0}


# Pressure.

def test_half_the_time_stalled():
    """By hand, from calc_load: a stall of one second in each period of two."""
    stalled, found = Stalled(), []
    for _ in range(6):
        stalled.stall(PERIOD_US // 2)
        stalled.period()
        found.append([shown(average) for average in stalled.averages[:2]])
    assert [ten for ten, _ in found] == ["9.05", "16.47", "22.54", "27.52", "31.59", "34.92"]
    assert [sixty for _, sixty in found] == ["1.63", "3.21", "4.74", "6.22", "7.66", "9.04"]


def test_the_file_of_pressure():
    pressure = Pressure()
    assert pressure.text() == "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    pressure.some.stall(1_000_000)
    pressure.period()
    assert pressure.text().splitlines()[0] == "some avg10=9.05 avg60=1.63 avg300=0.34 total=1000000"


def test_more_than_a_period_waits_for_the_next():
    stalled = Stalled()
    stalled.stall(3 * PERIOD_US)
    for _ in range(3):
        stalled.period()
    at_once, again = stalled.averages, Stalled()
    for _ in range(3):
        again.stall(PERIOD_US)
        again.period()
    assert again.averages == at_once
    for _ in range(400):
        again.stall(PERIOD_US)
        again.period()
    assert [shown(average) for average in again.averages] == ["100.00", "100.00", shown(again.averages[2])] and stalled.total_us == 3 * PERIOD_US
