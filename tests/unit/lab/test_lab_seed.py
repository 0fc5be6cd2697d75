"""A student's seed: which numbers it gives, that seed 0 gives the lessons' own, and that every answer is counted on the machine."""

import io
import re
from contextlib import redirect_stdout
from random import Random

import pytest

pytest.importorskip("ipywidgets")

from vmio import data, seed
from vmio.lab import compare, guess, predict, seeded, varied
from vmio.lab.check import NOT_ATTEMPTED, PASS, WRONG, exercise
from vmio.lab.asked import all_own, asked
from vmio.lessons.move_a_running_guest import panel as moving
from vmio.table import number

# A prediction that has no numbers to vary: it quotes a measurement of others.
FIXED = {"nested-user-exit", "letter-in-the-rings", "letter-in-the-pool"}
EXERCISES = sorted(path.parent for path in data.LESSONS.glob("*/exercises/*/check.py"))


@pytest.fixture(autouse=True)
def no_seed(monkeypatch):
    monkeypatch.delenv(seed.VARIABLE, raising=False)


def test_a_name_has_one_seed_however_it_is_written():
    assert seed.of("Anna Maier") == 960778037 == seed.of("  anna\tMAIER ") and seed.of("Anna Mayer") != seed.of("Anna Maier")
    assert seed.of("Ａnna Maier") == seed.of("Anna Maier"), "compatibility forms are equal"
    assert len({seed.of(f"student {n}") for n in range(500)}) == 500 and seed.DEFAULT not in {seed.of(f"s{n}") for n in range(500)}


@pytest.mark.parametrize("name", ["", "   ", "---", "a\x07b", "x" * 81, "\ud800a"])
def test_what_is_no_name_gets_a_sentence(name):
    with pytest.raises(ValueError, match="it needs a letter or a digit, and at most 80 characters$"):
        seed.of(name)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "1e3", "٣", "²", "4294967296", "9" * 5000, " 7", "True", "[]", "0x7"])
def test_a_seed_that_is_none_gets_a_sentence(text, monkeypatch):
    with pytest.raises(ValueError) as refused:
        seed.read(text)
    assert str(refused.value) == (f"VMIO_SEED is {text[:30]!r}; a seed is a whole number from 0, the lessons' own numbers, to 4,294,967,295.")
    monkeypatch.setenv(seed.VARIABLE, text)
    with pytest.raises(ValueError, match="VMIO_SEED is "):
        seed.current()


def test_the_seed_that_is_held_goes_before_the_environments(monkeypatch):
    assert seed.current() == 0
    monkeypatch.setenv(seed.VARIABLE, "7")
    assert seed.current() == 7
    with seed.held(8):
        assert seed.current() == 8
        with seed.held(0):
            assert seed.current() == 0
    assert seed.current() == 7 and seed.read("0") == 0 and seed.read("4294967295") == seed.LARGEST
    with pytest.raises(ValueError):
        seed.read(True)


def test_seed_0_gives_the_numbers_that_were_always_there():
    assert seeded(11).random() == Random(11).random() and varied("x", (1, 3), range(9)) == (1, 3)
    with seed.held(7):
        assert seeded(11).random() == seeded(11).random() == Random("7 11").random() != seeded(12).random()
        one = varied("x", (1, 3), range(100, 200))
        assert len(set(one)) == 2 and set(one) <= {*range(100, 200)} and one == varied("x", (1, 3), range(100, 200))
    with seed.held(8):
        assert varied("x", (1, 3), range(100, 200)) != one


def test_each_prediction_has_its_own_numbers_or_says_why_not():
    asks = {slug for path in data.LESSONS.glob("*/lesson.py") for slug in re.findall(r'predict\("([\w-]+)"', path.read_text(encoding="utf-8"))}
    assert asks - FIXED == all_own().keys()
    assert all(asked(slug) is None for slug in asks)
    with seed.held(7):
        assert all(asked(slug) is None for slug in FIXED)


@pytest.mark.parametrize("slug", sorted(all_own()))
def test_a_question_shows_its_numbers_and_neighbours_have_others(slug):
    questions = set()
    for own_seed in range(1, 30):
        with seed.held(own_seed):
            own, again = asked(slug), asked(slug)
            assert own.numbers == again.numbers and own.question == again.question
            assert all(re.search(rf"(?<![\d,]){value:,}(?![\d,])|(?<!\d){value}(?!\d)", own.question) for value in own.numbers.values())
            assert all(value in own.own.numbers[name] for name, value in own.numbers.items()) and "{" not in own.question
            questions.add(own.question)
    assert len(questions) >= (7 if slug == "string-on-kvm" else 15)


# The numbers with which a question is the lesson's own; None where the lesson's is of another form.
USUAL = {
    "one-split-read": dict(reads=1), "one-direct-read": dict(reads=1), "thousand-bytes": dict(length=1000), "record-bytes": dict(length=11),
    "string-on-kvm": dict(length=64), "four-kilobytes": dict(sectors=8), "first-guess": dict(block=4096), "twelve-instructions": None,
    "lost-wakeups": dict(orders=1000), "splitting-saves": dict(sectors=8), "noisy-neighbour": dict(quiet=3, noise=64),
    "attacks-without-iommu": dict(first=1, last=20), "attacks-noticed": dict(count=89), "linux-boot-exits": dict(step=120), "linux-reads-vmbus": dict(reads=16), "monitor-depth-1": dict(depth=1),
    "one-ping": dict(pings=1), "before-the-first-packet": dict(pings=0), "one-channel-four-vcpus": dict(vcpus=4, reads=16),
    "batch-misses": dict(peak=240), "disks-taken": dict(depth=4, removed=1300), "rounds": dict(rate=moving.RATE), "downtime": dict(rate=moving.RATE), "load-by-registers": dict(hidden=32), "share-of-bare-metal": dict(batch=1), "letter-in-ram": dict(lines=128), "layer-copies": dict(containers=16), "layer-touches": dict(containers=16),
    "requests-that-fit": dict(pieces=16), "kicks-with-events": dict(depth=16),
    "bully-tail": dict(rate=10_000), "function-tail": dict(rate=10_000),
    "pressure": dict(percent=50), "hasty-kept": dict(target=120), "hosts-used": dict(guests=800),
    "sixteen-workers": dict(merge=50), "slow-worker": dict(slow=8),
    "how-often-asked": dict(bus=7, network=3), "guests-turned-away": dict(bus=4, network=3),
    "served-one-by-one": dict(tenants=3, rate=40_000), "p99-beside-a-bully": dict(rate=40_000),
}
STORED = "".join(path.read_text(encoding="utf-8") for path in sorted(data.NOTEBOOKS.glob("*.ipynb")))


@pytest.mark.parametrize("slug", sorted(all_own()))
def test_with_the_lessons_numbers_an_answer_is_the_lessons(slug):
    if USUAL[slug] is None:
        assert all_own()[slug].count(reads=3, stores=5, leaves=2, length=30) == 3 + 2 + 1
        return
    stored, = set(re.findall(rf'"{slug}: counted ([0-9,.]+)[^0-9]', STORED))
    assert number(all_own()[slug].count(**USUAL[slug])) == stored


def test_other_numbers_have_other_answers():
    counts = {slug: own.count for slug, own in all_own().items()}
    assert [counts["one-split-read"](reads=reads) for reads in (5, 8)] == [10, 16]
    assert [counts["one-direct-read"](reads=reads) for reads in (5, 8)] == [5, 8]
    assert [counts["thousand-bytes"](length=length) for length in (300, 301)] == [600, 602]
    assert [counts["record-bytes"](length=length) for length in (16, 17)] == [40, 48]
    assert [counts["first-guess"](block=block) for block in (1024, 1536)] == [529, 789]
    assert [counts["attacks-without-iommu"](first=first, last=last) for first, last in ((1, 8), (3, 8), (5, 9))] == [5, 4, 2]
    assert [counts["one-ping"](pings=pings) for pings in (3, 7)] == [30, 70]
    assert [counts["before-the-first-packet"](pings=pings) for pings in (1, 4)] == [25_558, 25_597]
    assert [counts["linux-reads-vmbus"](reads=reads) for reads in (5, 40)] == [10, 80]
    assert [counts["linux-boot-exits"](step=step) for step in (0, 1, 120)] == [1, 51, 5471]
    assert [counts["attacks-noticed"](count=count) for count in (5, 6, 18)] == [0, 1, 10]
    assert len({counts["lost-wakeups"](orders=orders) for orders in (500, 700, 900)}) == 3
    assert len({counts["noisy-neighbour"](quiet=3, noise=noise) for noise in (20, 30, 40)}) == 3


def test_the_question_and_its_answer_are_the_students(monkeypatch):
    guess("one-split-read", None)
    assert predict("one-split-read", "One read?", "exits").question == "One read?"
    monkeypatch.setenv(seed.VARIABLE, "7")
    ask = predict("one-split-read", "One read?", "exits")
    assert ask.question.startswith("With your own numbers: 19 reads of 4 KiB through a split driver")
    guess("one-split-read", 38)
    with redirect_stdout(io.StringIO()) as told:
        ask.compare(2)
    assert told.getvalue() == ("one-split-read: guessed 38, counted 38 exits: exactly right. (with your own numbers)\n"
                               "With the lesson's numbers: 2 exits.\n")
    guess("one-split-read", None)
    assert compare("one-split-read", 2, "exits") == "one-split-read: counted 2 exits; no guess was stored."


@pytest.mark.parametrize("folder", EXERCISES, ids=lambda folder: folder.name)
def test_right_and_wrong_answers_stay_so_with_other_numbers(folder):
    one = exercise(folder.name, folder.parent)
    for own_seed in (7, 4294967295):
        with seed.held(own_seed):
            assert one.check(one.load("solution")).kind == PASS, own_seed
            assert one.check(one.load("wrong")).kind == WRONG, own_seed


def test_a_check_has_the_students_numbers_whatever_the_answer_says_of_the_seed(monkeypatch):
    one, seen = exercise("predict-passthrough-exits"), {}

    def shows(reads, guest, delivery):
        raise RuntimeError(f"reads {reads}")

    def make():
        monkeypatch.setenv(seed.VARIABLE, "0")
        return shows
    for own_seed in (0, 7, 8):
        with seed.held(own_seed):
            seen[own_seed] = one.check_made(make).text
    assert "reads 1" in seen[0] and len(set(seen.values())) == 3
    monkeypatch.setenv(seed.VARIABLE, "7")
    assert one.check_made(make).text == seen[7]


def test_nonsense_in_the_environment_is_said_and_nothing_is_judged(monkeypatch):
    monkeypatch.setenv(seed.VARIABLE, "abc")
    outcome = exercise("compute-free-space").check(exercise("compute-free-space").load("solution"))
    assert outcome.kind == NOT_ATTEMPTED and outcome.text.startswith("compute-free-space: nothing was tried: VMIO_SEED is 'abc'; a seed is")
