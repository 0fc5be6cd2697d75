"""Pings of a guest, one at a time: what each costs, exit by exit, and what it took before the first to bring the card up.

A station at the other end of the cable answers as soon as a frame has reached it.  Before each ping there is a pause, as
between real ones, in which all that worked for the last one falls asleep.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from vmio.devices.net.tulip.bits import SROM_SELECT
from vmio.drivers.contracts import NetDriver
from vmio.drivers.tulip_serial import CSR9
from vmio.host.net.echo import ECHO, Echo
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.exits import Exit
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.net.cable import Cable
from vmio.machine.net.checksums import fill_ip, total
from vmio.machine.net.headers import ETHERNET, ICMP, IPV4, IS_ICMP, IS_IPV4, parse
from vmio.machine.probes import watch
from vmio.modes import GuestMachine, Machine, attachment
from vmio.modes.net_emulated import PORTS

GUEST, STATION = bytes.fromhex("525400123456"), bytes.fromhex("52550a000202")
GUEST_IP, STATION_IP = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
DATA = bytes(56)              # what a ping carries if nobody says otherwise
PAUSE_NS = 20_000_000         # before each
ROM, PHY = "its ROM, bit by bit", "its PHY, bit by bit"


@dataclass(frozen=True)
class PingResult:
    """What `pings` pings counted; `seen` are their exits in order, `setup_exits` all that came before the first."""

    mode: str
    pings: int
    answered: int
    interrupts: int
    setup_exits: int
    seen: list[Exit] = field(repr=False)

    def counts(self) -> Counter[tuple[str, str]]:
        """Return {(what the guest executed, who answered): exits}."""
        return Counter((executed(one), one.device) for one in self.seen)


def executed(one: Exit) -> str:
    """Return what the guest executed, as its program reads."""
    return ("OUT" if one.write else "IN") if one.reason.value == "IO_INSTRUCTION" else one.reason.value


def request(number: int) -> bytes:
    """Return the frame of one ping."""
    icmp = ICMP.pack(type=ECHO, code=0, checksum=0, rest=number) + DATA
    icmp = icmp[:2] + (0xFFFF - total(icmp)).to_bytes(2, "big") + icmp[4:]
    head = IPV4.pack(length=IPV4.size + len(icmp), protocol=IS_ICMP, source=GUEST_IP, destination=STATION_IP)
    frame = ETHERNET.pack(destination=STATION, source=GUEST, type=IS_IPV4) + head + icmp
    return fill_ip(frame, parse(frame))


def _guest(mode: str) -> GuestMachine:
    """A guest with a card in this mode, switched on, and the station that answers."""
    machine, cable = Machine(), Cable()
    guest = machine.guest().attach(attachment("net", mode, address=GUEST), backend=cable.ends[0])
    machine.power_on()
    Echo(cable.ends[1], STATION, STATION_IP)
    return guest


def run(mode: str = "emulated", pings: int = 1) -> PingResult:
    """Let a guest in `mode` ping `pings` times; the pauses before each are not counted."""
    seen: list[Exit] = []
    counted = {"answered": 0, "interrupts": 0, "setup_exits": 0}

    def program(cpu: VCpu, driver: NetDriver) -> Steps[None]:
        counted["setup_exits"] = cpu.exits.total
        for number in range(pings):
            yield from rest(cpu, driver)
            before, stop = cpu.interrupts, watch(cpu.table, "exited", seen.append)
            answers: list[bytes] = []
            driver.send(request(number))
            while not answers or driver.pending:
                yield from driver.wait()
                answers += driver.reap()
            stop()
            counted["answered"] += len(answers)
            counted["interrupts"] += cpu.interrupts - before
    _guest(mode).run(program)
    return PingResult(mode, pings, seen=seen, **counted)


def rest(cpu: VCpu, driver: NetDriver) -> Steps[None]:
    """Let `PAUSE_NS` pass, whatever wakes the guest meanwhile."""
    until = cpu.now + PAUSE_NS
    while cpu.now < until:
        yield from driver.wait(until)


def setup(mode: str = "emulated") -> dict[str, int]:
    """Return the exits that bring a card up by who answered, the most first; those of a Tulip's serial pins by what hangs on them."""
    guest, counts, selected = _guest(mode), Counter[str](), [0]
    watch(guest.cpu.table, "exited", partial(_sort, counts, selected))
    guest.run(lambda cpu, driver: cpu.pay())
    return dict(counts.most_common())


def _sort(counts: Counter[str], pins: list[int], one: Exit) -> None:
    """Count an exit; `pins` are as they were last set: a bit of them says which of two serial devices is meant."""
    if one.reason.value != "IO_INSTRUCTION":
        counts[executed(one)] += 1
    elif one.address != PORTS + CSR9:
        counts[one.device] += 1
    else:
        if one.write:
            pins[0] = one.value
        counts[ROM if pins[0] & SROM_SELECT else PHY] += 1
