"""Dates and times of day as plain numbers: what a clock chip needs of the Gregorian calendar."""

from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)
SECOND_NS = 1_000_000_000


def date_of(ns: int) -> datetime:
    """Return the date `ns` after 1970, where `ns` is a 64-bit count: its upper half stands for dates before 1970.

    That reaches from 1677 to 2262; a later date wraps as in any 64-bit machine.
    """
    if ns >= 1 << 63:
        ns -= 1 << 64
    seconds = ns // SECOND_NS if ns >= 0 else -(-ns // SECOND_NS)
    return EPOCH + timedelta(seconds=seconds)


def days_since_1970(year: int, month: int, day: int) -> int:
    """Days of the Gregorian calendar; the year begins in March here, so the leap day comes last.

    Divides towards zero, as the C of other models does: a century cell of FFh makes a year below 0.
    """
    if month < 3:
        year, month = year - 1, month + 12
    leap_days = int(year / 4) - int(year / 100) + int(year / 400)
    return 365 * year + leap_days + (153 * month - 457) // 5 + day - 719_469


def seconds_to_match(now: int, hour: int, minute: int, second: int) -> int | None:
    """Seconds from `now` (s of the day) to the next hour:minute:second, where -1 matches any.

    An odometer: whichever unit does not match is turned on by one, largest
    first, so it takes a few hundred steps at most.  None if no time matches.
    """
    if hour > 23 or minute > 59 or second > 59:
        return None
    then = now + 1
    while True:
        if hour >= 0 and then // 3600 % 24 != hour:
            then = (then // 3600 + 1) * 3600
        elif minute >= 0 and then // 60 % 60 != minute:
            then = (then // 60 + 1) * 60
        elif second >= 0 and then % 60 != second:
            then += 1
        else:
            return then - now
