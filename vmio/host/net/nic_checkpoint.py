"""The host's 82576 as plain data and back: the card and its functions, their clocks, the host's driver, the IOMMU before it."""

from collections import Counter

from vmio.host.clock import HostClock, of_host
from vmio.host.net.igb import Igb, Vf
from vmio.host.net.nic import HostNic
from vmio.hypervisor.pending import Restoring, Saving
from vmio.machine.checkpoint import Form, State, same
from vmio.machine.clock import Timers
from vmio.passthrough import checkpoint as passthrough
from vmio.passthrough.iommu import checkpoint as iommu

NIC = Form("host's network card", 1, "iommu", "router", "function", "card", "clocks", "driver")
DRIVER = Form("driver of the host's network card", 1, "spoofing", "vfs", "heard", "refused", "turns", "work")
VF = Form("virtual function, as the host's driver knows it", 1, "given", "vlan", "address", "clear_to_send", "parked", "hashes", "refused_at")


def save(nic: HostNic, saving: Saving) -> State:
    """Return it; what is behind its wire saves itself."""
    return NIC.state(
        iommu=iommu.save(nic.iommu), router=passthrough.save_router(nic.router, nic.host.guests, [nic.driver.interrupt]),
        function=passthrough.save_function(nic.function), card=nic.card.save(),
        clocks=[clock.save(saving, timers) for clock, timers in _clocks(nic)], driver=_save_driver(nic.driver, saving))


def restore(nic: HostNic, state: State, restoring: Restoring) -> None:
    """Take it back, when host memory and guests are; the IOMMU last, for nothing that comes before may show in it."""
    saved = NIC.take(state)
    passthrough.restore_function(nic.function, saved["function"])
    nic.card.restore(saved["card"])
    for (clock, timers), each in zip(_clocks(nic), saved["clocks"], strict=True):
        clock.restore(each, restoring, timers)
    _restore_driver(nic.driver, saved["driver"], restoring)
    passthrough.restore_router(nic.router, saved["router"], nic.host.guests)
    iommu.restore(nic.iommu, saved["iommu"])


def _clocks(nic: HostNic) -> list[tuple[HostClock, Timers]]:
    """Return the clock of the physical function, and of each virtual one, with what it has on it."""
    card = nic.card
    return [(of_host(card.interrupts.clock), card.interrupts.timers()), *((of_host(each.clock), each.timers()) for each in card.functions)]


def _save_driver(driver: Igb, saving: Saving) -> State:
    return DRIVER.state(spoofing=driver.spoofing, vfs=[_save_vf(each) for each in driver.vfs], heard=list(driver.heard.items()),
                        refused=list(driver.refused.items()), turns=driver.turns, work=saving.calls(driver._work))


def _restore_driver(driver: Igb, state: State, restoring: Restoring) -> None:
    saved = DRIVER.take(state)
    same("driver of the host's network card, spoofing", saved["spoofing"], driver.spoofing)
    for vf, each in zip(driver.vfs, saved["vfs"], strict=True):
        _restore_vf(vf, each)
    driver.heard, driver.refused = (Counter({kind: count for kind, count in saved[name]}) for name in ("heard", "refused"))
    driver.turns, driver._coming = saved["turns"], bool(saved["work"])
    for at in saved["work"]:
        restoring.call(at, driver._work)


def _save_vf(vf: Vf) -> State:
    return VF.state(given=vf.given, vlan=vf.vlan, address=vf.address, clear_to_send=vf.clear_to_send, parked=vf.parked, hashes=vf.hashes,
                    refused_at=vf.refused_at)


def _restore_vf(vf: Vf, state: State) -> None:
    saved = VF.take(state)
    same("virtual function of a network card, address and VLAN", [saved["given"], saved["vlan"]], [vf.given, vf.vlan])
    vf.address, vf.clear_to_send, vf.parked = saved["address"], saved["clear_to_send"], saved["parked"]
    vf.hashes, vf.refused_at = list(saved["hashes"]), saved["refused_at"]
