"""The predictions of *Test the mix* with numbers of a student's own."""

from dataclasses import replace

from vmio.experiments import mix_kinds as k
from vmio.lab.asked import Own
from vmio.lessons.test_the_mix import panel
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n


def _asked(bus: int, network: int) -> int:
    host = replace(k.host("2012"), bus=(m.LINUX_VERSIONS[bus],), network=(n.VERSIONS[network],))
    return panel.contacts(k.guest("2020 cloud"), host)


def _turned_away(bus: int, network: int) -> int:
    return panel.turned_away(replace(k.host("legacy gone"), bus=m.LINUX_VERSIONS[:bus], network=n.VERSIONS[:network]))


OWN = {
    "how-often-asked": Own(
        "The same guest asks for eight versions of VMBus and six of the network's protocol. Its host speaks one of each: of VMBus the one behind {bus} others in the "
        "guest's list, of the other the one behind {network} others. How many questions until both are agreed on?",
        {"bus": range(8), "network": range(6)}, _asked),
    "guests-turned-away": Own(
        "A host has dropped its legacy devices. It speaks the {bus} newest of the eight versions of VMBus, and the {network} newest of the six of the network's "
        "protocol. How many of the eight guests does it refuse?",
        {"bus": range(1, 9), "network": range(1, 7)}, _turned_away)}
