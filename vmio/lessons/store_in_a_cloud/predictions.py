"""The predictions of *Store in a cloud* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.store_in_a_cloud import panel

_RATES = {"rate": [rate for rate in range(7000, 13_000, 200) if rate != 10_000]}

OWN = {
    "bully-tail": Own(
        "Alone, 99 of 100 of the victim's requests take at most 87 us. The seven others come, the host has no policy, and the bully sends {rate} requests a second while it is on: how many us then?",
        _RATES, lambda rate: panel.tail_us("no policy", rate)),
    "function-tail": Own(
        "The bully sends {rate} requests a second while it is on, and the host has no policy. The victim gets a virtual function of its own. How many percent of its 99th percentile are gone?",
        _RATES, panel.gone_percent),
}
