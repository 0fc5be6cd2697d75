"""Containers in utility guests, from power-on to an exit code: what is counted, and who is not hurt by whom."""

from vmio.experiments.utility_guest import PHASES, Job, start, to_text
from vmio.modes.utility import UtilityGuest

SMALL = 16      # MiB of RAM: it makes no difference to what is counted


def job(*arguments, **more):
    return Job(arguments, ram_mib=SMALL, **more)


def test_a_process_and_all_that_it_says():
    (one,) = start(job("echo", "hello", "there"))
    assert (one.stdout, one.stderr, one.exit_code, one.how, one.error) == (b"hello there\n", b"", 0, "GracefulExit", "")
    assert sum(one.messages.values()) == 17 and one.messages["container notification"] == 1 and one.messages["CREATE request"] == 2
    assert tuple(one.times) == PHASES == tuple(one.exits_by_phase) and list(one.times.values()) == sorted(one.times.values())
    assert one.sockets == 4 and one.stdio_bytes == 12 and one.bytes == one.bridge_bytes + 12
    assert sum(one.exits_by_phase.values()) <= one.exits_total == sum(one.exits.values())
    assert one.to_dict()["stdout"] == "hello there\n" and "hello there" in to_text([one])


def test_input_output_and_failure():
    data = bytes(n % 256 for n in range(70_000))
    cat, wc, false = start(job("cat", stdin=data), job("wc", stdin=data), job("false"))
    assert cat.stdout == data and cat.stdio_bytes == 140_000 and wc.stdout == b"70000\n"
    assert (false.exit_code, false.stderr, false.stdout) == (1, b"false: this is what it does\n", b"")


def test_two_runs_are_equal_and_ram_makes_no_difference():
    one, other, large = (start(Job(("echo", "a"), ram_mib=ram))[0].to_dict() for ram in (SMALL, SMALL, 1024))
    assert one == other == large


def test_a_program_that_is_not_there():
    (one,) = start(job("sh"))
    assert one.error == "EXECUTE_PROCESS: the agent refuses, 0x80070002 ['sh'] is no program here" and one.exit_code is None
    assert tuple(one.times) == ("connected", "created")


def test_a_process_that_writes_without_end_hurts_nobody_else():
    def flood(process):
        while True:
            yield from process.stdout.send(bytes(4088))
    flooded, other = start(job("flood", programs={"flood": flood}), job("echo", "alive"))
    assert flooded.error == "GCS: a process has written more than 1,048,576 bytes to its StdOut" and flooded.exit_code is None
    assert 0 < len(flooded.stdout) <= 1 << 20
    assert (other.stdout, other.exit_code, other.error) == (b"alive\n", 0, "")


def test_what_a_guest_has_and_has_not():
    from vmio.machine.storage import Image
    from vmio.modes import Machine
    machine = Machine(kind="hyper-v-containers")
    guest = UtilityGuest(machine, "c0", Image.open(bytes(1 << 20)))
    assert guest.planned.ram_mib == 1024
    machine.power_on()
    assert guest.planned.platform.board is None and [channel.device.class_id for channel in guest.planned.platform.bus.channels.values()] == [
        guest.disk.vsp.class_id]


def test_layers_are_mounted_before_the_container_is_created():
    from vmio.experiments.utility_guest import Layer
    from vmio.machine.storage import Image
    from vmio.modes import attachment
    mounted = []

    def mount(resource, settings, cpu, disk, layer):
        yield from layer.read(0, 8, 0x1F0_0000)
        mounted.append((resource, settings["MountPath"], cpu.read(0x1F0_0000, 6)))

    layer = Layer(attachment("disk", "split"), Image.open(b"layer!" + bytes((1 << 19) - 6)), "MappedVirtualDisk", {"MountPath": "/layers/0"})
    (one,) = start(Job(("echo", "x"), layers=[layer], mount=mount, ram_mib=32))
    assert mounted == [("MappedVirtualDisk", "/layers/0", b"layer!")] and one.error == "" and one.messages["MODIFY_SETTINGS request"] == 1
