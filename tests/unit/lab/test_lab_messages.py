"""What a check says of a wrong answer: the input, what was expected and what came, always two different texts."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from vmio.lab.answer import forgotten_wait
from vmio.lab.check import Wrong, a_number, a_whole_number, attempted, counted, exercise, expect, expect_at_most, one_of
from vmio.lab.difference import described, first_difference, same, shown, told_apart


def said(ask, *arguments, **options):
    """The sentence of a `Wrong`."""
    with pytest.raises(Wrong) as caught:
        ask(*arguments, **options)
    return str(caught.value)


def written(text, name):
    """The function a learner's cell would define."""
    space = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    return space[name]


@pytest.mark.parametrize("got, expected, text", [
    ("5", 5, "input x, expected 5 (a whole number), got '5' (text)"),
    (5.5, 5, "input x, expected 5 (a whole number), got 5.5 (a number with decimals)"),
    (True, 1, "input x, expected 1 (a whole number), got True (a truth value)"),
    ([1, 2], (1, 2), "input x, expected (1, 2) (a tuple), got [1, 2] (a list)"),
    (None, 5, "input x, expected 5, got None"),
    ("a b", "a  b", "input x, expected 'a  b', got 'a b'"),
])
def test_a_value_is_shown_as_it_is_written_and_its_type_where_that_differs(got, expected, text):
    assert said(expect, got, expected, given="x") == text


def test_long_values_part_where_they_part():
    expected = bytes(200)
    got = bytes(100) + b"\1" + bytes(99)
    text = said(expect, got, expected)
    assert text.endswith(r". They part at byte 100: expected ...b'\x00\x00\x00\x00\x00\x00\x00\x00', "
                         r"got ...b'\x00\x00\x00\x00\x01\x00\x00\x00'.")
    left, right, where = told_apart("x" * 300 + "a" + "y" * 300, "x" * 300 + "b" + "y" * 300)
    assert left == right and where == "They part at character 300: expected ...'xxxxayyy', got ...'xxxxbyyy'"


@pytest.mark.parametrize("expected, got, where", [
    (list(range(30)), list(range(29)), "30 items expected, 29 came; the first 29 are right"),
    (list(range(30)), [*range(12), 7, *range(13, 30)], "They part at item 12: expected 12, got 7"),
    ({"a": 1, "b": 2}, {"a": 1}, "Missing: 'b'"),
    ({"a": 1}, {"a": 1, "b": 2}, "Too much: 'b'"),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "They part at 'b': expected 2, got 3"),
    (b"abc", b"", "3 bytes expected, 0 came"),
    (5, 6, ""),
])
def test_first_difference(expected, got, where):
    assert first_difference(expected, got) == where


def test_values_that_look_alike_are_called_so():
    class Odd:
        def __repr__(self):
            return "Odd"

    assert told_apart(Odd(), Odd()) == ("Odd", "Odd", "They look alike and are not equal")


def test_an_object_without_a_text_is_named_by_its_type_and_not_by_its_address():
    class Plain:
        pass

    assert shown(Plain()) == "a Plain"
    assert "Plain object>" in shown([Plain()]) and " at 0x" not in shown({"a": (Plain(), print)})


@pytest.mark.parametrize("answer, text", [
    ("5", "expected a number, got '5' (text)"),
    (True, "expected a number, got True (a truth value)"),
    (float("nan"), "expected a number, got nan (a number with decimals)"),
    (None, "expected a number, got None. Does every way through the code end with a return?"),
])
def test_what_is_no_number(answer, text):
    assert said(a_number, answer) == text


def test_numbers_are_taken_as_they_are():
    assert a_number(5) == 5 and a_number(0.5) == 0.5
    with pytest.raises(NotImplementedError):
        attempted(...)


class AlwaysEqual:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __gt__ = __ge__ = __lt__ = __le__ = __eq__

    def __hash__(self):
        return 1


class EqualInt(AlwaysEqual, int):
    pass


class EqualText(AlwaysEqual, str):
    pass


class EqualBytes(AlwaysEqual, bytes):
    pass


class EqualList(AlwaysEqual, list):
    pass


class EqualDict(AlwaysEqual, dict):
    pass


@pytest.mark.parametrize("expected, got", [
    (5, AlwaysEqual()), (5, EqualInt(6)), (0.5, AlwaysEqual()), ("a", AlwaysEqual()), ("a", EqualText("b")), (b"a", AlwaysEqual()),
    (b"a", EqualBytes(b"b")), (None, AlwaysEqual()), (True, AlwaysEqual()), ((1, 2), AlwaysEqual()), ((1, 2), (1, EqualInt(3))),
    ([1, [2]], [1, [AlwaysEqual()]]), ([1], EqualList([2])), ([1], EqualList([1, 2])), ({"a": 1}, {"a": EqualInt(2)}), ({"a": 1}, EqualDict(b=1)),
    (5, np.array([5])), (5, np.array(5)), (b"\x05", np.array([5])), (5, np.array([5, 5]))])
def test_what_only_calls_itself_equal_is_wrong(expected, got):
    assert said(expect, got, expected)
    assert not same(expected, got)


@pytest.mark.parametrize("expected, got", [
    (5, 5), (5, np.int64(5)), (5, 5.0), (5, Fraction(5)), (5, Decimal(5)), (0.5, np.float64(0.5)), (0.5, np.float32(0.5)), (0.5, Fraction(1, 2)),
    ("a", np.str_("a")), (b"a", bytearray(b"a")), (b"a", memoryview(b"a")), (bytearray(b"a"), b"a"), ((1, (2, "x", None)), (1, (2, "x", None))),
    ([True, 0], [True, 0]), ({"a": [1]}, {"a": [1]}), (None, None), (False, False), (EqualInt(6), EqualInt(6)), (frozenset({1}), {1})])
def test_what_is_equal_is_right_whatever_library_it_comes_from(expected, got):
    expect(got, expected)


@pytest.mark.parametrize("answer, text", [
    pytest.param(10**5000, "a whole number of 16,610 bits (a whole number)", id="huge"), (-10**400, "a whole number of 1,329 bits (a whole number)"),
    ([10**5000], "a list that is too deep or too long to be shown (a list)"), (np.array([[1, 2], [3, 4]]), "array([[1, 2], [3, 4]]) (numpy's ndarray)"),
    (np.True_, "np.True_ (numpy's bool)"), (object(), "an object (an object)"), (Fraction(1, 2), "Fraction(1, 2) (a number with decimals)"),
    ("a\nb\x1b", r"'a\nb\x1b' (text)"), ("\ud800", r"'\ud800' (text)")])
def test_odd_values_are_described_in_one_line(answer, text):
    assert described(answer) == text and described(answer).isprintable()


def test_what_is_nested_without_end_is_described():
    deep, round_ = [], []
    for _ in range(100_000):
        deep = [deep]
    round_.append(round_)
    assert described(deep) == "a list that is too deep or too long to be shown (a list)" and described(round_) == "[[...]] (a list)"
    assert said(a_number, deep) == "expected a number, got a list that is too deep or too long to be shown (a list)"


def test_lines_of_an_objects_own_text_become_one():
    class Lines:
        def __repr__(self):
            return "A\n\tB\x1b[31m"
    assert shown(Lines()) == "A B [31m"


@pytest.mark.parametrize("answer", [5, 5.0, np.int64(5), np.float64(5), Fraction(5), EqualInt(5)])
def test_whole_numbers_are_pythons_own(answer):
    assert type(a_whole_number(answer)) is int and int.__eq__(a_whole_number(answer), 5) is True


@pytest.mark.parametrize("answer, text", [(5.5, "5.5 (a number with decimals)"), (float("inf"), "inf (a number with decimals)"),
                                          (Fraction(1, 2), "Fraction(1, 2) (a number with decimals)")])
def test_what_is_no_whole_number(answer, text):
    assert said(a_whole_number, answer, "x") == f"input x, expected a whole number, got {text}"


def test_of_a_number_with_a_mind_of_its_own_only_the_number_counts():
    assert type(a_number(EqualInt(7))) is int and not a_number(EqualInt(7)) > 8
    with pytest.raises(Wrong):
        expect_at_most(a_number(EqualInt(7)), 6, "exits")

    class Spoof:
        __class__ = int
    assert said(a_number, Spoof()).startswith("expected a number, got a Spoof")


def test_a_text_of_megabytes_is_no_misspelt_word(monkeypatch):
    monkeypatch.setattr("vmio.lab.check.get_close_matches", lambda *_: pytest.fail("that takes minutes"))
    assert said(one_of, "split" * 10**6, ("split",)).endswith("(text)")


def test_a_word_with_a_mind_of_its_own_is_the_word_that_it_is():
    assert said(one_of, EqualText("b"), ("split", "a")).startswith("expected one of 'split', 'a', got 'b' (")
    assert type(one_of(EqualText("a"), ("split", "a"))) is str


@pytest.mark.parametrize("answer, text", [
    ("pass-through", "expected one of 'emulated', 'split', 'passthrough', got 'pass-through' (text). "
                     "Did you mean 'passthrough'?"),
    ("Split", "expected one of 'emulated', 'split', 'passthrough', got 'Split' (text). Did you mean 'split'?"),
    ("virtio", "expected one of 'emulated', 'split', 'passthrough', got 'virtio' (text)"),
    (2, "expected one of 'emulated', 'split', 'passthrough', got 2 (a whole number)"),
])
def test_a_misspelt_word_is_told_which_was_meant(answer, text):
    assert said(one_of, answer, ("emulated", "split", "passthrough")) == text


def test_nouns_follow_their_count():
    assert [counted(n, what) for n, what in ((1, "exits"), (2, "exits"), (1, "flushes"), (0, "bytes"),
                                             (1, "signals before flush"), (3000, "calls"))] == [
        "1 exit", "2 exits", "1 flush", "0 bytes", "1 signal before flush", "3,000 calls"]
    assert said(expect_at_most, 3, 1, "exits", given="1 byte") == (
        "input 1 byte, expected at most 1 exit, got 3 exits. The result is right, the price is not.")


@pytest.mark.parametrize("call, text", [
    ("cpu.hlt()", "Line 3 calls hlt() without `yield from`, and so nothing waits there."),
    ("cpu.hlt(5)", "Line 3 calls hlt() without `yield from`, and so nothing waits there."),
    ("yield cpu.hlt()", "Line 3 calls hlt() without `yield from`, and so nothing waits there."),
    ("got = driver.wait()", "Line 3 calls wait() without `yield from`, and so nothing waits there."),
    ("yield from cpu.hlt()", ""),
    ("got = yield from driver.wait(1)", ""),
    ("cpu.outb(1, 2)", ""),
])
def test_a_forgotten_yield_from_is_found(call, text):
    assert forgotten_wait(written(f"def f(cpu, driver):\n    while True:\n        {call}\n", "f")) == text


def test_and_is_said_with_what_came_of_it():
    text = repr(exercise("sleep-until-the-tick").check(written(
        "def sleep(cpu, ticks, count):\n    while len(ticks) < count:\n        cpu.hlt()\n", "sleep")))
    assert "error in your code" in text
    assert text.endswith("Line 3 calls hlt() without `yield from`, and so nothing waits there.")


def test_an_exception_names_the_input_that_broke_it():
    text = repr(exercise("compute-free-space").check(written(
        "def largest_record(write, read, size):\n    return {0: 4088}[write]\n", "largest_record")))
    assert text == ("compute-free-space: error in your code, line 2: KeyError: 4088. "
                    "The input was write=4088, read=4088, size=4096.")


def test_a_bound_is_called_one():
    texts = [repr(exercise("predict-the-signals").check(answer)) for answer in (lambda r, d: 0, lambda r, d: 10 * r, lambda r, d: "5")]
    assert "expected a bound of 10 or more: so many the machine needed, got 0" in texts[0]
    assert texts[1].endswith("expected a bound of 10 or less, got 50. It holds, and no read takes more than two.")
    assert texts[2].endswith("expected a number, got '5' (text)")
