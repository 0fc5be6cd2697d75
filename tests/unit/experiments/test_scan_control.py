"""Five rules over the number of reads in flight: who keeps the target, who swings, and in which time."""

from functools import cache

import pytest

from vmio.experiments import scan_control as control
from vmio.experiments import scan_rules
from vmio.experiments.scan_control import DELAY, MOST, PERIOD_US, TARGET_US

KNOWN = {b"license": 1794, b"copyright": 401, b"warranty": 207, b"the": 7665}



@cache
def governed(rule, delay=DELAY):
    return control.run(rule, delay)


@pytest.mark.parametrize("rule", control.RULES)
def test_the_counts_are_right_and_the_depth_is_what_the_rule_has_said(rule):
    run = governed(rule)
    assert run.result.found == KNOWN
    assert all(1 <= depth <= MOST for _, _, depth in run.steps)
    took, ask = [each for _, each, _ in run.steps], scan_rules.made(rule)
    for n, (when, _, depth) in enumerate(run.steps):
        assert when == (n + 1) * PERIOD_US
        before = run.steps[n - 1][2] if n else run.result.params.depth
        assert depth == (before if n < DELAY else min(max(ask(before, took[n - DELAY], TARGET_US), 1), MOST))


@pytest.mark.parametrize("delay", [0, 2, 4, 8])
def test_the_hasty_rule_swings_in_twice_its_delay_of_which_a_reads_own_time_is_part(delay):
    run = governed("hasty", delay)
    deep = sorted(took for _, took, _ in run.steps)[3 * len(run.steps) // 4]        # what reads take at the deep end
    least = 2 * (delay * PERIOD_US + deep)
    assert least <= run.period_us <= least + 2 * PERIOD_US          # it is seen only at the next look


def test_more_delay_adds_itself_twice():
    assert governed("hasty", 8).period_us - governed("hasty", 4).period_us == pytest.approx(2 * 4 * PERIOD_US, rel=0.1)


def test_hysteresis_comes_to_rest_and_is_best_and_doing_nothing_is_slow():
    static, threshold, aimd, hasty = (governed(rule, 1) for rule in ("static", "threshold", "AIMD", "hasty"))
    assert {depth for _, _, depth in static.steps} == {2} and len({depth for _, _, depth in threshold.steps[10:]}) == 1
    assert threshold.period_us is None is static.period_us
    assert static.kept == threshold.kept == 100 > aimd.kept > hasty.kept
    assert threshold.result.virtual_ns < aimd.result.virtual_ns < static.result.virtual_ns
    assert threshold.result.virtual_ns < hasty.result.virtual_ns


def test_with_an_old_number_even_hysteresis_leaves_its_band():
    assert governed("threshold", 8).kept < 70


@pytest.mark.parametrize("delay", [0, 1, 4, 8])
def test_pid_brings_the_average_to_the_target_with_new_numbers_and_with_old_ones(delay):
    run = governed("PID", delay)
    end = run.steps[-12:]
    assert max(depth for *_, depth in end) - min(depth for *_, depth in end) <= 1 and run.period_us is None
    assert sum(took for _, took, _ in end) / len(end) == pytest.approx(TARGET_US, rel=0.1)
    assert run.result.virtual_ns < governed("static", delay).result.virtual_ns
    assert run.kept > max(governed("AIMD", delay).kept, governed("hasty", delay).kept)


def test_each_of_the_three_parts_of_pid_is_what_its_units_say():
    now = scan_rules.Pid()
    assert now(5, TARGET_US, TARGET_US) == 5                                # nothing wrong, nothing changed
    proportional = now(5, TARGET_US - 100, TARGET_US)                       # 0.8 and a quarter of it, and 0.8 of the slope over 150 us
    assert proportional == round(5 + 0.8 + 0.8 * 150 / 600 + 0.8 * 150 / 150) == 7
    assert now(7, TARGET_US - 100, TARGET_US) == round(5 + 0.8 + 2 * 0.2) == 6          # the slope is over
    grown = [now(6, TARGET_US - 100, TARGET_US) for _ in range(20)]
    assert grown[-1] == round(5 + 0.8 + 22 * 0.2) == 10 and grown == sorted(grown)      # and the integral grows


def test_pid_does_not_wind_up_while_nothing_more_can_be_given():
    rule = scan_rules.Pid()
    assert {rule(MOST, 0, TARGET_US) for _ in range(200)} >= {MOST}
    late = [rule(MOST, 2 * TARGET_US, TARGET_US) for _ in range(10)]
    assert late[0] < MOST - 4, "it turns at the first look, however long nothing more could be given"
    while rule(1, 5 * TARGET_US, TARGET_US) > 1:
        pass
    for _ in range(200):
        rule(1, 5 * TARGET_US, TARGET_US)
    assert rule(1, 0, TARGET_US) > 1


def test_two_scans_under_pid_know_nothing_of_each_other():
    assert control.run("PID").steps == control.run("PID").steps


def test_a_rule_of_ones_own_and_nonsense():
    def mine(depth, took, target):
        return 5
    run = control.run(own=mine, delay=0)
    assert run.rule == "mine" and {depth for _, _, depth in run.steps} == {5}
    with pytest.raises(ValueError, match="^rule 'LQR': choose one of static, threshold, AIMD, PID, hasty$"):
        control.run("LQR")
    with pytest.raises(ValueError, match="^delay -1: 0 periods or more$"):
        control.run("AIMD", -1)
    with pytest.raises(ValueError, match="^the rule has answered 1.5; a whole number of reads is needed"):
        control.run(own=lambda depth, took, target: 1.5, delay=0)
