"""What the panels of *Watch and steer* must show: the counters of a run of its own, read by the names they have, and what a loop's looks say."""

from functools import cache
from itertools import pairwise

from vmio.manage.diagnose.faults import FAULTS
from vmio.manage.diagnose.rules import diagnose
from vmio.manage.diagnose.scene import Plan, Scene
from vmio.manage.steer.loop import SteerParams, steer

from tests.panel_rig import Truth

CASES = {"A": ("small_ring", 3), "B": ("noisy", 4), "C": (None, 5), "D": ("vf_lost", 6), "E": ("polling", 7), "F": ("one_core", 8)}
GUESTS = ("web", "db", "batch", "shop", "mail", "cache")
COUNTED = {"signals": ("vmio_channel_events_total", {}, 1), "writes that met a full ring": ("vmio_channel_out_full_total", {}, 1),
           "KiB of the shared disk": ("vmio_disk_bytes_total", {}, 1024), "exits": ("vmio_exits_total", {}, 1),
           "us that the host looked": ("vmio_halt_poll_seconds_total", {}, 1000), "frames by the card": ("vmio_net_way_frames_total", {"way": "card"}, 1)}


@cache
def case(name):
    fault, seed = CASES[name]
    return Scene(Plan.of(seed, 16), FAULTS.get(fault)).run()


def read(scene, output, guest, window):
    early, late = scene.samples[window:window + 2]
    if output in ("us of a request", "requests"):
        key = "vmio_user_request_seconds", (guest,)
        count = late.histograms[key].count - early.histograms[key].count
        ns = late.histograms[key].total_ns - early.histograms[key].total_ns
        return count if output == "requests" else ns / count / 1000 if count else 0
    if output in COUNTED:
        name, labels, unit = COUNTED[output]
        return sum(value - early.values.get((metric, key), 0) for (metric, key), value in late.values.items()      # a channel may have gone
                   if metric == name and key[0] == guest and set(labels.values()) <= set(key)) / unit
    vcpu = int(output.split("vCPU ")[1][0])
    return sum(value - early.values["vmio_channel_interrupts_total", key] for (name, key), value in late.values.items()
               if name == "vmio_channel_interrupts_total" and key[0] == guest and late.values["vmio_channel_vcpu", key] == vcpu)


def cases(output, window, answer, **chosen):
    scene = case(chosen["case"])
    words = [*(int(part) for part in output.replace("'", " ").split() if part.isdigit()), window, window, 4]
    for guest in GUESTS:
        words += [read(scene, output, guest, window), sum(read(scene, output, guest, n) for n in range(4)) / 4]
    found = diagnose(scene.windows)
    if answer:
        words.append(min(each.window for each in found.findings if each.fault == found.verdict) if found.verdict else len(scene.windows))
    return Truth(words, charts=[{guest: [(n, read(scene, output, guest, n)) for n in range(16)] for guest in GUESTS}])


def steering(controller, target, delay):
    one = steer(SteerParams(controller, target, delay))
    after = [look for look in one.looks if look.ms > 8]
    ups, last = [], 0
    for before, now in pairwise(after):
        change = now.limit - before.limit
        if change > 0 and last < 0:
            ups.append(now.ms)
        last = change or last
    words = [delay, target, 100 * sum(look.took <= target for look in after) / len(after), sum(look.moved for look in after) / len(after),
             max(look.took for look in after), one.changes, one.turns]
    late = [look.ms for look in after if look.took > target]
    if not late or late[-1] < after[-1].ms:
        words.append(late[-1] - 8 if late else 0)
    if len(ups) > 2:
        words.append((ups[-1] - ups[0]) / (len(ups) - 1))
    return Truth(words, charts=[{controller: [(look.ms, look.limit) for look in one.looks]}, {"victim": [(look.ms, look.took) for look in one.looks]}])
