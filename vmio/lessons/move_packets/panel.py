"""Tables and panels of *Move packets*: one network card in several modes, and the switch between guests."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from vmio import data
from vmio.experiments import net, net_bursts, net_handover, net_ping, switch_story
from vmio.experiments.net import NetParams, NetResult
from vmio.lab import axes, charts, palette
from vmio.lab.controls import choice, log2_slider, slider, toggle
from vmio.lab.declared import declared
from vmio.lab.idle import Asking, later, still
from vmio.lab.machine_view import Edge, MachineView, edge
from vmio.lab.panel import Drawn, Panel, Shown
from vmio.lab.parts import again
from vmio.lab.switch_view import SwitchView, arrow
from vmio.machine.contracts import Options
from vmio.machine.net import frames, headers, pcap
from vmio.machine.net.pcap import Captured
from vmio.table import table

MODES = net.MODES
TRAFFIC = ("pings", "download", "upload")
CARDS = {"emulated": "tulip", "split": "NetVSC", "passthrough": "VF"}


# One ping.

@lru_cache
def ping(mode: str = "emulated") -> net_ping.PingResult:
    """One ping in a mode."""
    return net_ping.run(mode)


def ping_table() -> str:
    """One ping in each mode: what the guest executed, and who answered."""
    rows = [(mode, what, who, count) for mode in MODES for (what, who), count in sorted(ping(mode).counts().items(), key=lambda row: (-row[1], row))]
    return table(rows, ("mode", "instruction", "answered by", "exits"), "<<<>", title="one ping: a frame out, a frame in")


def accesses(mode: str = "emulated") -> int:
    """Return how often one ping touches the card's registers."""
    return sum(count for (_, device), count in ping(mode).counts().items() if device == CARDS[mode])


def registers_table() -> str:
    """Every access of the Tulip's registers in one ping, in order."""
    tulip = [one for one in ping().seen if one.device == "tulip"]
    return table([(at, net_ping.executed(one), f"CSR{(one.address - net_ping.PORTS) // 8}", f"{one.value:08X}h")
                  for at, one in enumerate(tulip, 1)], ("", "instruction", "register", "value"), "><<<")


def setup_table() -> str:
    """What it takes to bring the cards up, before the first frame."""
    rows = [(mode, name, count) for mode in MODES for name, count in net_ping.setup(mode).items()]
    rows += [(mode, "all", ping(mode).setup_exits) for mode in MODES]
    return table(rows, ("mode", "exits for", "count"), "<<>")


# One capture.

@lru_cache
def captured(traffic: str) -> tuple[Captured, ...]:
    """The frames of one kind of traffic, out of data/http.pcap; who sends the first one is the guest."""
    whole = pcap.load(data.path("http.pcap"))
    if traffic == "pings":
        return tuple(one for one in whole if headers.parse(one.frame).protocol == headers.IS_ICMP)
    if traffic == "download":
        return tuple(whole)
    return tuple(one for one in whole[1:] if not frames.is_group(one.frame))      # the second frame is the server's


@lru_cache(maxsize=256)
def run(mode: str = "emulated", traffic: str = "download", delivery: str = "injected") -> NetResult:
    """One capture through a card in one mode."""
    return net.run(NetParams(mode=mode, delivery=delivery), captured(traffic), f"http.pcap, {traffic}")


def modes_table(traffic: str = "download") -> str:
    """The same frames through each mode: equal hashes, other prices."""
    rows = []
    for mode in MODES:
        one = run(mode, traffic)
        rows.append((mode, one.packets, one.drops, one.sha256[:12], one.exits_total, one.exits_total / one.packets,
                     one.interrupts, one.virtual_ns / 1000, one.exit_ns / 1000))
    return table(rows, ("mode", "frames", "lost", "sha256", "exits", "per frame", "interrupts", "us", "us in exits"), "<>><>>>>>",
                 title=f"http.pcap, {traffic}")


def _edges(result: NetResult) -> list[Edge]:
    """Who touched whom."""
    mode, out, back = result.params.mode, result.sent_by_guest, result.received_by_guest
    edges = [edge("guest", "hypervisor", "exits", result.exits_total)]
    if mode == "passthrough":
        edges += [edge("guest", "device", "frames out, no exit", out, kind="direct"), edge("device", "guest", "frames in", back, kind="direct")]
        return edges + [edge("hypervisor", "guest", "interrupts", result.interrupts, kind="interrupt")] * (result.params.delivery == "injected")
    if mode == "split":
        edges += [edge("guest", "host", "frames by the ring", out, kind="ring"), edge("hypervisor", "host", "signals", result.signals)]
    else:
        edges += [edge("hypervisor", "host", "registers", result.exits_by_device.get("tulip", 0))]
    return [*edges, edge("host", "device", "frames out", out, kind="data"), edge("device", "host", "frames in", back, kind="data"),
            edge("host", "guest", "interrupts", result.interrupts, kind="interrupt")]


def _view(result: NetResult) -> Shown:
    each = max(result.packets, 1)
    text = "\n".join([
        f"{result.packets} frames, {result.bytes:,} bytes",
        f"{result.sent_by_guest} out, {result.received_by_guest} in, {result.drops} lost",
        f"sha256 {result.sha256[:12]}...",
        f"exits {result.exits_total:,}, {result.exits_total / each:.2f} per frame",
        f"interrupts {result.interrupts}, {result.interrupts / each:.2f} per frame",
        f"signals to the host {result.signals}",
        f"exits of the set-up {result.setup_exits:,}",
        f"virtual time {result.virtual_ns / 1000:,.0f} us"])
    names = ("OUT", "IN", "VMCALL", "HLT", "EXTERNAL INTERRUPT")
    shown = {name: result.exits_by_instruction.get(name, 0) for name in names}
    times = {"time": {"exit": result.exit_ns / 1000, "waiting": (result.virtual_ns - result.exit_ns) / 1000}}
    return text, [charts.bars("Exits by instruction", shown, "exits"), charts.stack("Virtual time: exits, and all else", times, "us")], {
        "edges": _edges(result), "title": f"Network card, {result.params.mode}"}


def _idle(**params: Any) -> dict[str, str]:
    """Which control changes nothing, and why."""
    return {} if params["mode"] == "passthrough" else {"delivery": "only passthrough heeds it"}


def panel() -> Panel:
    """One capture, several modes."""
    return Panel(run, [declared(NetParams, "mode", "Mode"), choice("traffic", TRAFFIC, "download", "Traffic"),
                       declared(NetParams, "delivery", "Interrupts are")], _view,
                 name="move_packets capture", live=MachineView(title="Network card", notes={"device": "network"}), idle=_idle)


def handover_table() -> str:
    """A virtual function comes and goes while the guest sends: frames by each way, and exits, in slices of 10 ms."""
    moves = ("MOV to memory", "MOV from memory")
    rows = [(f"{one.ms} to {one.ms + net_handover.SLICE_NS // net_handover.MS}", one.by_card, one.by_function, one.arrived, one.exits.get("VMCALL", 0),
             sum(one.exits.get(name, 0) for name in moves), one.exits.get("EXTERNAL INTERRUPT", 0), one.exits.get("HLT", 0))
            for one in net_handover.run()]
    return table(rows, ("ms", "by the split card", "by the VF", "arrived", "VMCALL", "MOV", "EXT. INTERRUPT", "HLT"), "<>>>>>>>")


# Bursts.

@lru_cache(maxsize=64)
def bursts(mode: str, batch: int) -> tuple[net_bursts.Burst, ...]:
    """Frames in bursts of each size."""
    return tuple(net_bursts.run(mode, batch))


def _bursts(burst: int, batch: int) -> Options:
    """All modes; only the split card has records with several frames."""
    return {"burst": burst, "batch": batch, "modes": {mode: bursts(mode, batch if mode == "split" else net_bursts.MOST_FRAMES) for mode in MODES}}


def _bursts_view(answer: Options) -> Shown:
    modes: dict[str, Sequence[net_bursts.Burst]] = answer["modes"]
    here = {mode: next(one for one in found if one.size == answer["burst"]) for mode, found in modes.items()}
    all_of_them = net_bursts.FRAMES
    rows = [("frames arrived", *(one.arrived for one in here.values())), ("exits", *(one.exits_total for one in here.values())),
            ("per frame", *(one.exits_total / all_of_them for one in here.values())), ("interrupts", *(one.interrupts for one in here.values())),
            ("handed over", *(one.records for one in here.values()))]
    text = "\n".join([f"bursts of {answer['burst']}, up to {answer['batch']} in a record", "", table(rows, ("", *here))])
    curves = {mode: ([one.size for one in found], [one.exits_total / all_of_them for one in found]) for mode, found in modes.items()}
    y = axes.linear("exits per frame", [value for _, values in curves.values() for value in values])
    x = axes.log("frames in a burst", (), net_bursts.SIZES)
    return text, [charts.lines("Exits of a frame that the guest sends", curves, x, y, at=answer["burst"]),
                  charts.bars("Descriptors, or records in the ring", {mode: one.records for mode, one in here.items()}, "handed over",
                              color=palette.OTHERS[1])]


def bursts_panel() -> Panel:
    """How many exits a frame costs when others follow it at once."""
    return Panel(_bursts, [log2_slider("burst", 1, net_bursts.SIZES[-1], 1, "Frames in a burst"),
                           declared(NetParams, "batch", "Frames in a record")], _bursts_view, name="move_packets bursts")


# Moderation.

@lru_cache(maxsize=512)
def held(hold_us: int = 0, hold_frames: int = 0, gap_us: int = 0, adaptive: bool = False) -> NetResult:
    """The download through a 21143 that holds interrupts back; without a time it holds none, for the last frame would wait for ever."""
    params = NetParams(chip="21143", hold_us=hold_us, hold_frames=hold_frames if hold_us else 0, gap_us=gap_us, adaptive=adaptive)
    return net.run(params, captured("download"))


def held_table() -> str:
    """The same download, with interrupts held back for longer and longer."""
    rows = [(us, one.interrupts, one.interrupts_per_packet, one.exits_total, one.latency_p50_ns / 1000, one.latency_p99_ns / 1000)
            for us in (0, 40, 80, 160, 320) for one in [held(us)]]
    return table(rows, ("held back for us", "interrupts", "per frame", "exits", "half wait us", "99 % wait us"))


HOW = {"not held back": "none", "as set": "set", "adaptive": "adaptive"}      # in the chart, and in the table


@again
def _held(**asked: int) -> Iterator[dict[str, NetResult]]:
    """As it is set; then beside it not held back, and last as the driver chooses."""
    gap, found = asked["gap_us"], {"as set": held(**asked)}
    yield found
    found = {"not held back": held(gap_us=gap), **found}
    yield found
    yield {**found, "adaptive": held(gap_us=gap, adaptive=True)}


def _held_view(found: dict[str, NetResult]) -> Shown:
    one = found["as set"]
    rows = [("interrupts", *(each.interrupts for each in found.values())), ("exits", *(each.exits_total for each in found.values())),
            ("half wait us", *(each.latency_p50_ns / 1000 for each in found.values())),
            ("99 % wait us", *(each.latency_p99_ns / 1000 for each in found.values()))]
    text = "\n".join([f"{one.packets} frames, {one.drops} lost", f"virtual time {one.virtual_ns / 1000:,.0f} us", "",
                      table(rows, ("", *(HOW[name] for name in found)))])
    return text, [charts.bars("Interrupts of a frame", {name: each.interrupts_per_packet for name, each in found.items()}, "interrupts per frame",
                              color=palette.OTHERS[0]),
                  charts.bars("From arrival to receipt, 99 percent at most", {name: each.latency_p99_ns / 1000 for name, each in found.items()}, "us",
                              color=palette.OTHERS[2])]


def _held_idle(**asked: int) -> dict[str, str]:
    """Which controls change nothing, and why."""
    if not asked["hold_us"]:
        return {"hold_frames": "without a time nothing is held back"}
    return {"hold_us": "each frame interrupts at once"} if asked["hold_frames"] == 1 else {}


def moderation_panel() -> Panel:
    """Fewer interrupts, longer waits."""
    return Panel(_held, [declared(NetParams, "hold_us", "Hold, us", 160, high=480, step=40),
                         declared(NetParams, "hold_frames", "Hold, frames"),
                         declared(NetParams, "gap_us", "Gap, us", high=200, step=40)],
                 _held_view, name="move_packets moderation", idle=_held_idle)


# The switch.

def _story(**asked: Any) -> tuple[Options, switch_story.Story]:
    """The switch as it is set, and the first frames of the story."""
    return asked, switch_story.play(**asked)


def _who(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"


def _story_view(told: tuple[Options, switch_story.Story]) -> Drawn:
    asked, story = told
    last = story.steps[-1]
    send, sender = last.send, switch_story.WHERE[last.send.sender]
    rows = [(name, story.sent[name], story.got[name], story.refused[name]) for name in switch_story.PORTS]
    text = "\n".join([
        f"frame {len(story.steps)} of {len(switch_story.SCRIPT)}: {send.sender} to {send.to}{f', as {send.source}' * (send.source != send.sender)}",
        f"dropped: {last.dropped}" if last.dropped else f"given to: {_who(last.given)}", f"copied to: {_who(last.copied)}", "",
        table(rows, ("port", "sent", "given", "dropped"))])
    edges = []
    for name in switch_story.PORTS:
        sends = ("stopped" if last.dropped else "now") if name == sender else "quiet"
        gets = "now" if name in last.given else "copy" if name in last.copied else "quiet"
        edges += [arrow(name, True, story.sent[name], sends), arrow(name, False, story.got[name], gets)]
    learned = {name: f"learned: {', '.join(who for who, where in story.learned.items() if where == name)}"
               for name in switch_story.PORTS if name in story.learned.values()}
    notes = {"A": "any address" if asked["any_address"] else "A's address only", "B": "B's address only",
             "C": f"VLAN {switch_story.VLAN}" if asked["own_vlan"] else "C's address only", "outside": "any address"}
    came = f"dropped ({last.dropped})" if last.dropped else f"given to {_who(last.given)}" + f", copied to {_who(last.copied)}" * bool(last.copied)
    forged = f", as {send.source}" * (send.source != send.sender)
    charts_ = [charts.bars("Frames that each port was given", story.got, "frames", color=palette.OTHERS[0])]
    return text, charts_, {"edges": edges, "notes": notes, "learned": learned, "end": f"{send.sender} to {send.to}{forged}: {came}"}


@later
def _story_idle(**asked: Any) -> Asking:
    """Which switches change nothing up to this frame."""
    switches = (False, True)
    reasons = {"any_address": (switches, "so far A has used no address but its own"), "mirror": (switches, "C was given each of A's frames anyway")}

    def counted(told: tuple[Options, switch_story.Story]) -> Shown:
        text, figures, drawing = _story_view(told)
        return text, figures, {**drawing, "notes": None}            # which say how the switch is set, and count nothing
    return (yield from still(_story, counted, asked, reasons))


def switch_panel() -> Panel:
    """Who sees which frame."""
    return Panel(_story, [slider("steps", 1, len(switch_story.SCRIPT), 1, 1, "Frames sent"), toggle("any_address", False, "A may use any address"),
                          toggle("own_vlan", False, "C is in a VLAN of its own"), toggle("mirror", False, "C is A's mirror")], _story_view,
                 name="move_packets switch", live=SwitchView(stations=list(switch_story.PORTS)), idle=_story_idle)
