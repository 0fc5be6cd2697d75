"""What the lessons' texts count, and how they name it."""

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments import instructions, stops
from vmio.experiments.containers import density, hostile, one_start
from vmio.experiments.tampering_way import Protections
from vmio.experiments.disk import DiskParams
from vmio.experiments.ringsteps import SCRIPTS, hangs, play
from vmio.hypervisor.costs import CostModel
from vmio.lessons import panels
from vmio.lessons.accelerate import panel as engine
from vmio.lessons.fill_a_ring import panel as ring
from vmio.lessons.grow_and_shrink import panel as memory
from vmio.lessons.isolate_containers import panel as containers
from vmio.lessons.keep_secrets import panel as secrets
from vmio.machine.crypto.records import OVERHEAD
from vmio.lessons.move_a_running_guest import panel as moving
from vmio.lessons.move_packets import panel as packets
from vmio.lessons.pass_a_device_through import panel as passthrough
from vmio.lessons.run_on_real_hardware import panel as real
from vmio.lessons.watch_and_steer import panel as watching
from vmio.lessons.share_a_device import panel as share
from vmio.lessons.split_a_driver import panel as split
from vmio.lessons.start_here import panel as start
from vmio.lessons.trap_an_instruction import panel as trap
from vmio.manage.steer.controllers import LEAST, MOST, START, STEP, Bandit
from vmio.manage.steer.loop import SteerParams
from vmio.processors.kvm import reads, steps
from vmio.processors.kvm.vcpu import Vcpu

from tests.counting_rig import DiskSeen


def test_start_here_what_a_read_costs_in_each_mode():
    emulated, split, passed = (start.run(mode) for mode in start.MODES)
    assert [one.exits_total // one.requests for one in (emulated, split, passed)] == [2_089, 2, 1]
    assert emulated.exits_total // 16 - 2_048 == 41 and emulated.bytes_read == 64 << 10
    assert 1_000 <= emulated.exit_ns / emulated.exits_total <= 2_000, "each costs a microsecond or so"
    assert [start.run("split", block).exits_total for block in (512, 16_384)] == [32, 32]
    assert start.run("split", queue_depth=16).exits_total == 2, "reads in flight share them"
    assert start.run("split", guests=4).parts["waiting"] > start.run("split").parts["waiting"] * 4, "four guests wait for two cores"


def test_memory_what_the_text_says():
    assert (memory.missed(balanced=False), memory.missed()) == (660, 264)
    assert memory.missed(balanced=False) == (240 + 18 - 192) * 10, "what batch wants and its kernel has, less what it began with, ten seconds long"
    run = memory.run()
    assert {run.misses[name][second] for name in ("web", "database") for second in range(memory.SECONDS)} == {0}
    assert run.messages["STATUS_REPORT"] == 3 * 23
    assert memory.missed(weight=100) < memory.missed(), "a heavier batch gets more"
    assert memory.missed(host=1152) < memory.missed() / 2 and min(memory.run(host=1152).free) > 300, "there is enough"
    assert memory.missed(buffer=0) <= memory.missed()


def test_watch_what_the_text_says():
    assert watching.pressure_after(6) == 34.92 and round(100 * 1677 / 2048) == 82, "each look keeps 82 percent of what was there"
    assert SteerParams().disk == 2000 and START == 1000 and (LEAST, MOST, STEP) == (50, 3000, 150) and len(Bandit.ARMS) == 8
    looks = watching.steered().after
    assert len(looks) == 40 and watching.steered().changes == 40 and looks[0].ms == 9, "AIMD changes the limit in every look; the bully comes at 8 ms"
    assert watching.steered("static").moved < 0.55 * 2000 and watching.steered("hasty").off
    assert watching.before_and_after("none", 3)[0]["signals"].keys() == {"web", "db", "batch", "shop", "mail", "cache"}
    quiet = watching.signals_table().splitlines()
    assert [row.split()[-2] for row in quiet[2:4]] == ["0", "0"] and int(quiet[4].split()[-2]) > 100
    for name, seed, found in (("noisy", 4, "a noisy neighbour"), ("none", 5, "nothing")):
        assert watching.rules_table(name, seed).splitlines()[3].split(None, 1)[-1].startswith(found) or found in watching.rules_table(name, seed)
    held, elsewhere = (watching.contest_table(moved).splitlines()[2:] for moved in (False, True))
    assert held[0].startswith("bandit") and held[-1].startswith("best constant") and elsewhere[-2].startswith("bandit")
    for case, guest, output in (("A", "db", "us of a request"), ("A", "db", "writes that met a full ring"), ("B", "batch", "KiB of the shared disk")):
        name, seed = watching.CASES[case]
        windows = watching.windows(name, seed)
        read = watching.OUTPUTS[output][0]
        late, early = (sum(read(window, guest) for window in part) for part in (windows[watching.onset(seed):], windows[:watching.onset(seed)]))
        assert late > early
    slow = [guest for guest in ("web", "db", "batch", "cache") if watching.OUTPUTS["us of a request"][0](watching.windows("noisy", 4)[-2], guest) > 300]
    assert slow == ["web", "db", "batch", "cache"], "case B: four guests are slow"
    late = [watching.OUTPUTS["us of a request"][0](watching.windows(*watching.CASES[case])[-2], "mail") for case in ("D", "C")]
    assert 0 < late[0] <= late[1], "case D: nobody waits longer than where nothing is wrong"


def test_packets_what_the_text_says_of_pings_bursts_and_waits():
    assert [packets.accesses(mode) for mode in packets.MODES] == [10, 0, 0]
    hashes = {packets.run(mode, traffic).sha256 for traffic in packets.TRAFFIC for mode in packets.MODES}
    assert len(hashes) == len(packets.TRAFFIC), "equal in each mode"
    for mode in packets.MODES:
        down, up = (one.exits_total / one.packets for one in (packets.run(mode), packets.run(mode, "upload")))
        assert 3 * up < down, "a third or less"
        assert [one.exits_total for one in packets.bursts(mode, 8)][-1] < 2 * 32
    assert packets.bursts("split", 1)[-1].exits_total - packets.bursts("split", 8)[-1].exits_total == 1, "the first figure hardly moves"
    assert [packets.held(us).interrupts > 200 for us in (0, 40, 80, 160)] == [True, True, True, False]
    within = packets.held(120, 3)
    assert within.interrupts < packets.held().interrupts / 2 and within.latency_p99_ns < 350_000
    assert packets.held(adaptive=True).interrupts > 200, "it hardly gets going"


def test_accelerate_what_the_text_says_of_calls_and_their_price():
    ways = engine.all_ways().values()
    assert len({(one.predictions_sha256, one.sums_sha256) for one in ways}) == 1 and {(one.right, one.images) for one in ways} == {(437, 450)}
    assert engine.load_exits() == 2368 // 4 + 42 == 592 + 42 and engine.share(1) < 38
    work = [float(line.split()[-1]) for line in engine.call_table().splitlines()[2:]]
    assert len(work) == 4 and round(sum(work)) == 18 and round(work[1] + work[2]) == 5, "5 us of these 18"
    assert all(98 <= engine.counted(mode, 16_384, 32).of_bare <= 100 for mode in engine.MODES), "no mode costs anything"
    small, large = (engine.counted("passthrough", 64, hidden).of_bare for hidden in (8, 128))
    assert small < large, "a larger network moves the same way"


def test_accelerate_what_the_text_says_of_turns_and_attacks():
    rows = [[float(cell.replace(",", "")) for cell in line.split()] for line in engine.shared_table().splitlines()[2:]]
    (_, _, _, _, one, _), (_, _, by_turns, switches, two, _) = rows[:2]
    assert two < 2 * one and (by_turns - two) / switches > two / 32, "small calls: a switch takes longer than a call"
    assert 1.9 < rows[4][4] / rows[3][4] < 2 and rows[4][2] < 1.3 * rows[4][4], "large calls: twice as long, and switches are few"
    ends = [(line.split()[0], "nothing" in line, line.endswith(("damage", "for ever"))) for line in engine.attacks_table().splitlines()[2:]]
    assert ends == [(name, True, True) for name in ("leftovers", "endless-job", "dma-outside", "tail-beyond", "command-beyond", "command-changed", "next-turn")]


def test_containers_what_the_text_says_of_frames_starts_and_walls():
    assert (containers.layer_pages(), containers.first_touches()) == (16 * 155, 16 * 155), "16 times 155 pages; each guest, each page once"
    one, mapped, eight = (containers.run(*way) for way in ((1, "hyperv", "scsi"), (1, "hyperv", "vpmem"), (8, "hyperv", "vpmem")))
    assert one.requests - mapped.requests == 42 and mapped.requests == 20, "the 20 of a start that are left"
    assert eight.pages["layer"] == mapped.pages["layer"] == 155 and mapped.ns[0] > one.ns[0], "the first container pays"
    alone = [containers.run(count, "process").pages for count in (1, 8)]
    assert all(alone[0][what] == alone[1][what] for what in ("drivers", "layer", "tables")), "adds only what it writes itself"
    requests = density.start()
    reads = [request for request in requests if request.op == "R"]
    assert len(reads) == 46 and max(request.sectors for request in reads) == 32 * 8 and density.base().sectors * 512 == 32 << 20
    rows = [line.split() for line in containers.entries_table("vpmem").splitlines()[2:]]
    assert len({row[2] for row in rows}) == 1 and {row[3] for row in rows} == {"r-x"} and len({row[5] for row in rows}) == 3
    rows = [line.split() for line in containers.entries_table("scsi").splitlines()[2:]]
    assert len({row[2] for row in rows}) == 3 and all("w" in row[3] for row in rows), "each guest may write into its own"
    started = one_start.run()
    assert started.exits_by_phase["connected"] > started.exits_total / 2 and started.sockets == 4, "most exits come before the first message"
    verdicts = {name: [tried.verdict for tried in hostile.attack(name)] for name in hostile.CASES}
    assert set(verdicts["one kernel, taken over"]) == {"leaked", "changed"} and verdicts["VPMem writable"][-1] == "changed"
    assert verdicts["own kernel, SCSI"][-1] == "only its own" and set(verdicts["own kernel, VPMem"]) == {"stopped"}


def test_secrets_what_the_text_says_of_places_and_changes():
    assert secrets.found().lines == 128 and (secrets.in_the_rings(), secrets.in_ram()) == (0, 2 * 128)
    for mode in ("emulated", "split", "passthrough"):
        clear, guest = (secrets.found(mode, who) for who in ("nobody", "guest"))
        assert clear.exits == guest.exits, "no exit is added"
        assert clear.hits["the device"] == 256 and set(list(guest.hits.values())[:-1]) == {0}, "every hand but RAM"
    assert CostModel.preset().xts_rate // 10**9 == 16, "16 gigabytes a second"
    nowhere = [one for one in (secrets.found(mode, who, keep=keep) for mode in ("emulated", "split", "passthrough") for who in ("nobody", "host", "guest")
                               for keep in (True, False)) if not any(one.hits.values())]
    assert len(nowhere) == 3 and {(one.params.encrypt, one.params.keep) for one in nowhere} == {("guest", False)}
    *rows, back, twice = [line.split()[-4:] for line in secrets.tampering_table().splitlines()[2:]]
    assert len(rows) == 5 and back == ["unnoticed"] * 4, "the last row but one goes through everywhere"
    rows.append(twice)
    assert all("noticed" not in row[:2] and row[2:] == ["noticed"] * 2 for row in rows), "XTS has no way to notice anything"
    assert secrets.flipped() == (1, 16)
    encrypted, tagged, sealed, bound = (Counter(what for where in Protections(**{"encrypted": False, name: True}).outcomes().values() for what in where.values())
                                        for name in ("encrypted", "tags", "records", "bound"))
    assert encrypted == {"garbled": 5, "unnoticed": 8}, "noise of five of seven, and nothing noticed"
    assert [each["noticed"] for each in (tagged, sealed, bound)] == [6, 4, 1], "tags make six of seven noticed, the most"


def test_secrets_what_the_text_says_of_viewers_records_and_keys():
    rows = [line.split() for line in secrets.views_table().splitlines()[2:]]
    found = {tuple(row[:3]): [int(cell) for cell in row[3:] if cell != "-"] for row in rows}
    assert len(found) == 16 and {key[1:] for key, hits in found.items() if not any(hits)} == {("yes", "yes")}, "only both together"
    assert len([key for key, hits in found.items() if not any(hits)]) == 4 and secrets.in_the_pool() == 64
    assert all(hits[:2] == [64, 64] for key, hits in found.items() if key[0] == "socket" and key[2] == "no"), "in the rings themselves"
    assert all(hits[-1] == 0 for key, hits in found.items() if key[1] == "yes"), "RAM is noise"
    *changes, last, device = [line.split()[-2:] for line in secrets.way_table().splitlines()[2:]]
    assert last == ["unnoticed"] * 2 and [*changes, device] == [["unnoticed", "noticed"]] * 5, "but for the last letter"
    assert CostModel.preset().gcm_rate // 10**9 == 25, "25 gigabytes a second"
    assert OVERHEAD == 22, "22 bytes more"
    verdicts = [line.split()[-2:] for line in secrets.hostile_table().splitlines()[2:]]
    *lies, pool, disk, page, memory, device = verdicts
    assert len(lies) > 10 and all(hardened == "REJECT" and trusting in ("FAIL", "WEDGED", "-") for hardened, trusting in lies)
    assert [pool, disk, page, memory, device] == [["PASS", "FAIL"]] * 5, "the last five rows: what a guest leaves behind"
    assert secrets.destroyed() == (512_000, True, False, False), "two slots of 256,000 bytes; it opened before; not after; the disk itself is as it was"


def test_moving_what_the_text_says_of_rounds_rules_and_missing_bits():
    first, second = (each.ended_ns - each.began_ns for each in moving.moved().rounds[:2])
    assert first > 10 * second and moving.BANDWIDTH * 1_000_000 // 4096 == 7812 and moving.moved().last_pages <= 234
    assert {each.dirty for each in moving.moved(rate=16_000).rounds[3:]} == {1024}, "all of them, for ever"
    assert moving.moved(rate=16_000, throttled=True).rounds[-1].throttle == 80
    still = [moving.moved(rate=16_000, by=by).downtime_ns / 1e6 for by in ("xen", "hyper-v")]
    assert all(4 <= ms / moving.LIMIT < 4.6 for ms in still), "four times the limit"
    late = moving.moved(rate=16_000, postcopy_after=2)
    assert late.downtime_ns < 1_000_000 and late.faults > 0
    luck = [held.recorded.rounds for held in map(moving.recorded.held, moving.recorded.rows()) if not held.clear]
    assert sorted(luck, key=str) == [27, 80, None], "two were moved, one was given up"
    assert [moving.without(disk, way) for disk, way in (("emulated, by DMA", "device"), ("split", "host"))] == [(4, False)] * 2
    assert all(right for disk in moving.DISKS for _, right in [moving.without(disk, "processor")]), "it wrote them once more"


def test_packets_what_the_text_says_of_the_switch():
    plain, open_door = packets.switch_story.play(), packets.switch_story.play(any_address=True)
    assert [step.dropped for step in plain.steps] == ["", "", "", "", "", "", "", "spoofed", ""]
    assert plain.steps[8].given == ["outside"] and open_door.steps[8].given == ["A"] and open_door.learned == {"router": "A"}
    assert packets.switch_story.play(1).learned == {} and packets.switch_story.play(2).learned == {"router": "outside"}
    assert [step.given for step in plain.steps[3:5]] == [["B"], ["A"]], "C never sees them"
    apart, mirrored = packets.switch_story.play(own_vlan=True), packets.switch_story.play(mirror=True)
    assert not any("C" in step.given for step in apart.steps)
    assert all("C" in (*step.given, *step.copied) for step in mirrored.steps[:5])


def test_trap_what_an_exit_costs_and_where():
    costs = CostModel.preset("server-2022")
    assert 3.5 <= costs.access_ns("worker", False) / costs.access_ns("hypervisor", False) <= 4.5, "a factor of about four"
    assert costs.user_space_ns > costs.hypercall_ns + costs.lookup_ns + costs.emulate_ns, "more than all others together"
    off = [int(line.split()[-2]) for line in trap.ladder_table().splitlines()[2:]]
    assert len(off) == 5 and sum(abs(percent) <= 10 for percent in off) == 4
    nobody, uart = (instructions.run(name, 8) for name in ("OUT to nobody", "OUT to a UART"))
    assert nobody.virtual_ns == uart.virtual_ns, "no cheaper"
    string = instructions.run("REP OUTS to a UART", 64)
    assert (string.exits_total, string.at_uart) == (1, 64) and nobody.at_uart == 0
    for ticks in (1, 64):
        halt = instructions.run("HLT", ticks)
        assert halt.exits_total == 2 * ticks + 5 and halt.device_ns / halt.virtual_ns > 0.97


def test_trap_what_stops_a_guest_that_asks_for_nothing():
    seen = {situation: stops.run(stops.StopParams(situation, "kvm")) for situation in stops.SITUATIONS}
    touch, _, shared, sleep = seen.values()
    assert sum(touch.values()) == 64 and {reason for reason, *_ in touch} == {"EPT_VIOLATION"}
    assert {(whose, n) for (_, whose, _), n in shared.items()} == {("host scheduler", 100), ("host timer", 2)}, "10 ms, slices of 100 us"
    assert sorted(reason for reason, *_ in sleep) == ["HLT", "WRMSR"]
    assert "250" in trap.host_properties().splitlines()[-1]


def test_emulate_what_linux_does_for_the_same_read():
    linux = {how: sum(int(part.linux or 0) for part in reads.parts() if part.how == how) for how in ("emulated, PIO", "emulated, DMA")}
    assert linux == {"emulated, PIO": 1_024 + 19, "emulated, DMA": 26}
    assert round(10 / 115_200 * 1e6) == 87, "us a byte takes: eight bits, start and stop"


def test_ring_what_the_text_counts():
    depths = [line.split() for line in ring.depth_table().splitlines()[2:]]
    assert (depths[0][3], depths[3][:2], depths[3][3]) == ("2.00", ["8", "1"], "0.15")
    assert 200 <= hangs(SCRIPTS["no second look"]) <= 300, "three tests of four are passed"
    frames = play(SCRIPTS["no second look"]).frames
    assert frames[12]["actor"] == "producer" and frames[12]["text"] == "does not signal: masked"
    alone = ring.real_disk(1)
    assert round(alone.virtual_ns / 64 / 1000, 1) == 87.4 and max(used for _, used in alone.rings["to the host"]) == 112
    assert round(CostModel.preset("server-2022").hypercall_ns / 1000, 1) == 0.3
    assert ring.real_disk(64, signals="always", doorbell="monitor").signals == 1, "64 bits set between two looks are one"


def test_ring_who_sends_the_interrupts_between_processors():
    seen = DiskSeen(DiskParams(mode="split", bytes=64 * 4096, vcpus=4, channels=1, host_cores=8))
    sent = [sum(exit.reason.value == "WRMSR" for exit in lane.seen.exits) for lane in seen.runs[0].lanes]
    assert sent == [48, 1, 1, 1]
    assert set(ring.many_vcpus(4, "one each").exits_by_vcpu.values()) == {2 * 16}


def test_pass_through_what_late_writes_reach():
    landed = {late_by: passthrough.late("lazy", 16, late_by, 64).landed for late_by in range(17)}
    assert all(landed[late] >= landed[late + 1] for late in range(15)) and (landed[0], landed[15], landed[16]) == (60, 0, 60)
    lazy = [passthrough.late("lazy", batch, 4, 64) for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256)]
    assert [one.driver_ns for one in lazy] == sorted((one.driver_ns for one in lazy), reverse=True)
    assert lazy[0].landed == 0 and lazy[-1].landed == 64, "what the driver pays falls, what the device reaches grows"
    assert passthrough.late("lazy", 256, 40, 16).landed == 0 and passthrough.late("strict", 1, 4, 64).landed == 0


def test_pass_through_what_is_left_to_exit():
    alone, deep, posted = passthrough.run(), passthrough.run(queue_depth=16), passthrough.run(queue_depth=16, delivery="posted")
    assert alone.exits_by_instruction == {"HLT": 32} and alone.doorbells == 2 * 32 and alone.interrupts == 32
    assert deep.exits_by_instruction["EXTERNAL INTERRUPT"] > 0 and "EXTERNAL INTERRUPT" not in posted.exits_by_instruction
    assert passthrough.run(interrupts=False).exits_total == 0, "a guest that polls needs neither"
    assert passthrough.run(iommu="strict").guest_ns > passthrough.run(iommu="lazy").guest_ns > alone.guest_ns


def test_split_what_one_read_and_many_cost():
    one = split.crossing(2, 8)
    assert sum(one.exits.values()) == 2 and set(one.exits) == {"VMCALL", "HLT"}
    words = [split.run(queue_depth=depth).exits_total / split.REQUESTS for depth in (1, 32)]
    assert words[0] == 2 and words[1] < 1, "two become a fraction of one"
    assert split._by_words(4096).exits_total / split.REQUESTS > 2_000


def test_share_what_fairness_costs_and_what_many_guests_get():
    rows = {line.split()[0]: line.split() for line in share.noisy_table().splitlines()[3:]}
    assert {row[1] for row in rows.values()} == {"75.1"}
    noisy = {policy: float(row[5].replace(",", "")) for policy, row in rows.items()}
    assert all(rate > 0.99 * noisy["fifo"] for rate in noisy.values()), "nothing worth mentioning"
    scale = [line.split() for line in share.scale_table().splitlines()[2:]]
    assert len({row[1] for row in scale[1:]}) == 1 and all(float(row[3]) >= 0.99 for row in scale)
    assert len({line.split()[-1] for line in share.cost_table().splitlines()[2:]}) == 1, "a guest's own work does not grow"


def test_real_hardware_what_kvm_makes_of_strings_and_of_the_loop():
    assert real.counts("REP OUTSB", 64) == (64, 0) and real.counts("REP INSB", 512)[0] == 1
    assert steps.RING_WRITES == 169
    assert len(inspect.getsource(Vcpu.run).splitlines()) < 50


def test_one_control_has_one_name_in_all_lessons():
    names = {}
    for module, maker in panels.PANELS:
        panel = panels.make(module, maker)
        for name, control in panel.controls.items():
            names.setdefault(name, set()).add(control.label)
        panel.close()
    # a record of NetVSC's is filled with frames and an engine's call with images, not requests; pages are written, bytes searched and requests come at a rate; requests of a neighbour and of one's own are in flight; a migration's rule and a controller's are two; an IOTLB and a virtqueue have entries; what is asked is answered by rules or by a request's work; in Compare the modes size and transfer are those of one workload, in Share a device shares are one guest's
    own = {"batch": {"Batch", "Frames in a record", "Images a call"}, "block": {"Bytes per read", "Mix: bytes"}, "transfer": {"Transfer", "Emulated by"}, "weight": {"Steady weighs", "a weighs", "batch weighs"},
           "reservation": {"Reservation", "c reserves"}, "cap": {"Noisy's cap", "b's cap"}, "interrupts": {"Interrupts on"}, "pages": {"Pages in use", "Pages written"},
           "rate": {"Pages a second", "MB/s of a core", "Requests/s, each"}, "depth": {"Noisy, in flight", "Reads ahead"},
           "rule": {"Stop rule", "Rule"}, "entries": {"IOTLB entries", "Entries"}, "answer": {"What the rules say", "Work is in"}}
    assert {name: labels for name, labels in names.items() if labels != own.get(name, labels) or name not in own and len(labels) > 1} == {}


@pytest.mark.parametrize("name", ("start_here", "trap_an_instruction", "emulate_a_device", "split_a_driver", "fill_a_ring", "pass_a_device_through",
                                  "compare_modes", "break_isolation", "share_a_device", "run_on_real_hardware",
                                  "check_the_model"))
def test_rates_are_per_something(name):
    """"Exits per read" is English; "exits a read", as the panels once had it, is not what people write."""
    for path in Path(panels.__file__).parent.joinpath(name).rglob("*"):
        if path.suffix in (".py", ".md"):
            assert not re.search(r"(exits|us|signals|interrupts|bytes|count\",) \"?a (read|byte|sector|request|second)\b", path.read_text(encoding="utf-8")), path
