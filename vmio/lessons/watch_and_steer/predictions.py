"""The predictions of *Watch and steer* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.watch_and_steer import fleet, panel


def _pressure(percent: int) -> float:
    return panel.pressure_after(6, percent)


def _kept(target: int) -> float:
    return panel.kept(target=target)


OWN = {
    "pressure": Own("From now on somebody waits for memory {percent} percent of the time. What does avg10, the average over 10 seconds, show after 12 seconds?",
                    {"percent": [percent for percent in range(10, 100, 2) if percent != 50]}, _pressure),
    "hasty-kept": Own("In how many of 100 looks does hasty keep a target of {target} us, with numbers that are fresh?",
                      {"target": [target for target in range(84, 300, 2) if target != 120]}, _kept),
    "hosts-used": Own("Now let {guests} guests come in place of 800. How many of the 40 hosts have guests, with first fit?",
                      {"guests": [guests for guests in range(600, 840, 6) if guests != 800]}, fleet.used)}
