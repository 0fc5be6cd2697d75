"""Each part of the host as a hypothesis state machine: its actions are rules, what must hold are invariants.

The dice of every action come from hypothesis, which so can shrink a sequence that breaks
something to the shortest one, with the smallest numbers.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

DICE = st.randoms(use_true_random=False)


def state_machine(part, examples, steps):
    """A class for hypothesis: `examples` machines with up to `steps` actions, the same ones at each run."""
    class Play(RuleBasedStateMachine):
        machine = None

        @initialize(dice=DICE)
        def begin(self, dice):
            self.machine = part.Machine(dice)

        @invariant()
        def check(self):
            if self.machine is not None:
                self.machine.check()

        def teardown(self):
            if self.machine is not None:
                self.machine.end()

    def add(kind):
        def act(self, dice):
            self.machine.step(dice, kind)
        act.__name__ = f"do_{kind}"
        setattr(Play, act.__name__, rule(dice=DICE)(act))
    for kind in dict.fromkeys(part.KINDS):
        add(kind)
    Play.TestCase.settings = settings(
        derandomize=True, deadline=None, max_examples=examples, stateful_step_count=steps, database=None,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    return Play
