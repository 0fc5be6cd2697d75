"""Linux's own hv_utils on our integration services: it shuts down when asked, its heart beats, its clock is set, it takes keys and values."""

import re
from functools import cache

from tests.linux_rig import start, warnings
from vmio.boot import checkpoint
from vmio.boot.kept import modules
from vmio.boot.params import BootParams
from vmio.machine.checkpoint import from_json, to_json
from vmio.machine.probes import watch

WARNED = ["echo WARNINGS", "dmesg -r | grep '^<[0-4]>'", "echo NO MORE WARNINGS"]
SERVICES = modules(BootParams(services=True))
KVP_BYTES = 7432                # struct hv_kvp_msg, include/uapi/linux/hyperv.h
# What hv_kvp_daemon does, in a shell: say who it is (100 is KVP_OP_REGISTER1), hear the kernel's answer, then take the host's requests.
DAEMON = ["await /dev/vmbus/hv_kvp", "exec 3<>/dev/vmbus/hv_kvp", f"printf '\\144' | dd bs={KVP_BYTES} conv=sync >&3 2>/dev/null", "dd bs=8192 count=1 <&3 >/dev/null 2>&1"]
TAKE = "dd bs=8192 count=1 <&3 2>/dev/null > /tmp/request"
GOOD = f"dd if=/dev/zero bs={KVP_BYTES} count=1 >&3 2>/dev/null"
PAIR = ["(dd if=/dev/zero bs=20 count=1; printf OSName | dd bs=512 conv=sync; printf Debian | dd bs=2048 conv=sync) 2>/dev/null > /tmp/answer",
        f"dd if=/tmp/answer bs={KVP_BYTES} conv=sync count=1 >&3 2>/dev/null"]


@cache
def asked_to_leave():
    """(boot, result, states of it on its way): asked to shut down after nine seconds, while it would sleep for a minute."""
    boot, kept = start(["sleep 5", "date -u '+clock %F %T'", *WARNED, "sleep 60", "echo STILL THERE"], SERVICES, services=True, shutdown=9_000), []
    watch(boot.cpu, "paused", lambda: kept.append(from_json(to_json(checkpoint.saved(boot)))))
    watch(boot.console, "marked", lambda name: boot.cpu.pause())
    return boot, boot.run(), kept


def test_it_shuts_down_when_it_is_asked():
    """Not at once: init's way to the power button, by the program that the kernel runs for that."""
    boot, result, _ = asked_to_leave()
    assert result.end.reason == "power off" and result.good and "STILL THERE" not in result.console_text
    assert [phase.name.split()[0] for phase in result.phases] == ["power-on", "ready", "shutdown"]
    assert 9_000_000_000 < result.virtual_ns < 9_010_000_000


def test_it_speaks_the_newest_versions_of_each():
    boot, *_ = asked_to_leave()
    services = boot.services
    assert [(each.framework, each.version) for each in (services.shutdown, services.heartbeat, services.time)] == [
        ((3, 0), (3, 2)), ((3, 0), (3, 0)), ((3, 0), (4, 0))]
    assert not any(each.refused for each in (services.shutdown, services.heartbeat, services.time, services.kvp))


def test_its_heart_beats_every_two_seconds():
    boot, *_ = asked_to_leave()
    assert (boot.services.heartbeat.beats, boot.services.heartbeat.missed) == (5, 0)       # at 0, 2, ... 8 s


def test_its_clock_is_the_hosts():
    """The clock chip says 2024; the host, 2026."""
    boot, result, _ = asked_to_leave()
    assert re.search(r"^clock (.*)$", result.console_text, re.M)[1] == "2026-01-01 00:00:05"
    assert boot.services.time.told == 2


def test_the_kernel_warns_of_nothing():
    assert [line for line in warnings(asked_to_leave()[1]) if "hv_" in line or "vmbus" in line.lower()] == []


def test_kept_when_its_services_are_up_or_asked_it_goes_on_as_if_nobody_had_been_there():
    """At "ready" the heart beats and the host is to ask in nine seconds; at "shutdown" it has asked."""
    boot, undisturbed, kept = asked_to_leave()
    assert [state["asking"] is not None for state in kept] == [True, False]
    for state in kept:
        again = checkpoint.restored(state, timeout=600)
        result = again.run()
        assert result.to_dict() == undisturbed.to_dict() and (result.console, result.rows) == (undisturbed.console, undisturbed.rows)
        assert [(each.version, each.refused, [getattr(each, name) for name in each.counts]) for each in again.services.all.values()] == [
            (each.version, each.refused, [getattr(each, name) for name in each.counts]) for each in boot.services.all.values()]


def test_keys_and_values_go_both_ways():
    boot = start([*DAEMON, "mark daemon", TAKE, "strings /tmp/request", GOOD, TAKE, *PAIR, "sleep 1"], SERVICES, services=True, virtual_timeout=60_000)
    heard = []
    kvp = boot.services.kvp

    def when_up():
        if not kvp.set("HostName", "vmio", answered=lambda status: heard.append(("set", status))):
            boot.guest.guest.clock.call_later(1_000_000, when_up)
        else:
            kvp.enumerate(0, lambda key, value: heard.append((key, value)))
    watch(boot.console, "marked", lambda name: when_up() if name == "daemon" else None)
    result = boot.run()
    assert heard == [("set", 0), ("OSName", "Debian")] and "HostName\nvmio\n" in result.console_text
    assert kvp.version == (4, 0) and not kvp.refused


def test_without_them_the_module_finds_nothing():
    boot = start(["ls /sys/bus/vmbus/devices | wc -l"], SERVICES)
    result = boot.run()
    assert result.good and boot.services is None and re.search(r"^0$", result.console_text, re.M)
