"""The ring view with a student's own signal rule, in the very order of steps in which its check failed.

The rule runs in a process of its own and only its decisions come back; the story is then played with these, so whatever
the rule does, the page is safe.  Where it first decides otherwise than the right rule, the view opens.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vmio.experiments.ringsteps import PRODUCER, SCRIPTS, Script, Story, play
from vmio.lab import apart, check
from vmio.lab.answer import reason
from vmio.lab.controls import choice
from vmio.lab.panel import Panel
from vmio.lab.ring_view import RingView
from vmio.vmbus.bus.ring import signal_if_it_was_empty

Rule = Callable[[int, int, int, int], bool]
SLUG = "write-the-signal-rule"
YOURS, RIGHT = "your rule", "the right rule, your order"
NOT_YET = "should_signal gives no answer yet.\nWrite it, run its check,\nand run this cell again."
LIMITS = apart.Limits(compute_s=2)
_DECIDES = ("signals the consumer", "does not signal")


@dataclass(frozen=True)
class Played:
    """A story, whose it is, and the step in which its rule first decides otherwise than the right one (None: nowhere)."""

    name: str
    about: str
    story: Story | None         # None: there is no rule yet
    parts: int | None = None
    words: tuple[int, ...] = ()


def failing(slug: str = SLUG) -> Script:
    """Return the script with the order of steps in which the last check failed, or the first one as it is."""
    kept = check.found(slug) or {}
    name, order = str(kept.get("script", "")), str(kept.get("order", ""))
    if name not in SCRIPTS or set(order) - set("pc"):
        return SCRIPTS["all rules kept"]
    return replace(SCRIPTS[name], order=order)


def yours(should_signal: Rule, script: Script) -> Played:
    """Return the story of a rule in a script, without one for a stub; raises ValueError with one sentence where it comes to no answer."""
    def work() -> dict[str, Any]:
        asked: list[tuple[list[int], bool | None]] = []

        def rule(*words: int) -> bool:
            answer: Any = should_signal(*words)
            asked.append((list(words), None if answer is ... or answer is None else bool(answer)))
            return bool(answer)
        try:
            play(replace(script, should_signal=rule))
        except BaseException as error:  # noqa: BLE001  whatever a rule raises, the panel says it in a sentence
            return {"why": reason(error)}
        return {"asked": asked}

    ending = apart.run(work, LIMITS)
    match ending.data:
        case {"asked": [*asked]}:
            pass
        case {"why": str(why)}:
            raise ValueError(f"Your rule raised {why}.")
        case _:
            raise ValueError(f"Your rule comes to no answer ({ending.why or apart.FORGED})")
    if any(answer is None for _, answer in asked):
        return Played(YOURS, NOT_YET, None)
    answers = iter(asked)
    story = play(replace(script, should_signal=lambda *words: next(answers)[1]))
    parts = next((at for at, (words, answer) in enumerate(asked) if answer != signal_if_it_was_empty(*words)), None)
    if parts is None:
        return Played(YOURS, "Your rule decides as the right one does.", story)
    decided = [at for at, frame in enumerate(story.frames or ()) if frame["actor"] == PRODUCER and frame["text"].startswith(_DECIDES)]
    return Played(YOURS, "", story, decided[parts], tuple(asked[parts][0]))


def _view(played: Played) -> Any:
    if played.story is None:
        return played.about, [], {"frames": [], "frame": 0, "title": "Ring, your rule."}
    story, frames = played.story, played.story.frames or []
    lines = [played.about] if played.about else []
    start = 0
    if played.parts is not None:
        start = played.parts - 1
        old, new, read, mask = played.words
        right = "signals" if signal_if_it_was_empty(*played.words) else "does not"
        lines += [f"Step {played.parts} is the first wrong one: it {frames[played.parts]['text'].partition(':')[0]}, the right rule {right}.",
                  f"Your rule saw old_write {old:,}, new_write {new:,}, read {read:,}, mask {mask}."]
    lines += [f"{len(frames) - 1} steps, signals: {story.signals}", f"ends: {story.ending}"]
    return "\n".join(lines), [], {"frames": frames, "frame": start, "title": f"Ring, {played.name}."}


def own_rule_panel(should_signal: Rule) -> Panel:
    """The ring with a student's rule, in the order of steps in which its check failed; the right rule and the broken ones beside it."""
    script = failing()

    def model(rule: str) -> Played:
        if rule == YOURS:
            return yours(should_signal, script)
        if rule == RIGHT:
            return Played(rule, "The same order of steps, and no wake-up is lost.", play(script))
        return Played(rule, SCRIPTS[rule].about, play(SCRIPTS[rule]))
    return Panel(model, [choice("rule", (YOURS, RIGHT, *SCRIPTS), label="Rules")], _view, name="fill_a_ring own rule", live=RingView())
