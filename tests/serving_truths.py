"""What the panel of *Serve a model* must show: a run of its own, its percentiles by ranks, the engine's time by each guest's work."""

from math import ceil

from vmio.experiments import serving
from vmio.experiments.serving import ServingParams

from tests.panel_rig import Truth

ANSWERS = 100


def rank(values, part):
    """The value at the rank that a percentile asks for, counted from 1."""
    return sorted(values)[ceil(part * len(values) / 100) - 1]


def panel(**settings):
    ran = serving.run(ServingParams(count=ANSWERS, **settings))
    tenants, bully = ran.tenants, ran.bully
    answers = [ns / 1000 for one in tenants for ns in one.latencies]
    calls, exits = sum(one.calls for one in tenants), sum(sum(one.exits_by_instruction.values()) for one in tenants)
    worked = [one.engine_ns for one in tenants] + ([bully.engine_ns] if bully else [])
    last, engines = max(one.ns for one in tenants), len(worked) if settings["way"] == "engines" else 1
    some = [ns for ns in worked if ns]
    words = [ANSWERS, ANSWERS, len(answers) / calls, exits / len(answers), min(ANSWERS * 1e9 / one.ns for one in tenants),
             rank(answers, 50), rank(answers, 99), 100 * sum(worked) / last / engines, sum(some) ** 2 / len(some) / sum(ns * ns for ns in some),
             ran.switches, 0]
    if bully:
        words += [bully.images, bully.ended, bully.refused]
    waits = {one.name: [(ns / 1000, 100 * at / ANSWERS) for at, ns in enumerate(sorted(one.latencies), 1)] for one in tenants}
    shares = {who: 100 * ns / last / engines for who, ns in zip([*(one.name for one in tenants), "bully"], worked)}
    return Truth(words, charts=[waits, shares | {"nobody": 100 - sum(shares.values())}])
