"""A model that counts in parts and remembers them: where a slider has been, its first part is there again, and then its whole."""

from vmio.lab import parts


def counting(log):
    """A model of three parts that writes down what it is asked to count."""
    @parts.again
    def model(rate, batch=1):
        for part in (1, 2, 3):
            log.append((rate, batch, part))
            yield rate * part
    return model


def test_a_setting_is_counted_once_and_shown_in_the_same_way_again():
    log = []
    model = counting(log)
    assert list(model(rate=5, batch=2)) == [5, 10, 15] and len(log) == 3
    assert list(model(batch=2, rate=5)) == [5, 15] and len(log) == 3, "its first part, its whole, and nothing is counted"
    assert list(model(rate=6, batch=2)) == [6, 12, 18] and len(log) == 6


def test_one_that_was_left_early_shows_its_first_part_and_is_counted_to_its_end():
    log = []
    model = counting(log)
    assert next(model(rate=5)) == 5 and len(log) == 1
    again = model(rate=5)
    assert next(again) == 5 and len(log) == 1, "it was there"
    assert list(again) == [10, 15] and list(model(rate=5)) == [5, 15]


def test_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(parts, "MOST", 2)
    log = []
    model = counting(log)
    for rate in (1, 2, 3):
        list(model(rate=rate))
    assert len(log) == 9
    list(model(rate=3))
    assert len(log) == 9
    list(model(rate=1))
    assert len(log) == 12
