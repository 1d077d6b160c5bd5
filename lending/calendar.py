"""Days on which banks are open, and months that end on a day that exists.

Closed: Saturdays, Sundays, national holidays (jpholiday: Act on National Holidays with its substitute and in-between
days) and 31 December to 3 January (Order for Enforcement of the Banking Act, art. 5). `BankDay` rows that a second person has
reviewed say otherwise for a single day, either way.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

import jpholiday
from dateutil.relativedelta import relativedelta

from lending.models import BankDay

TURN_OF_THE_YEAR: Final = {(12, 31), (1, 1), (1, 2), (1, 3)}
#: No run of closed days is longer; a calendar that says so is broken.
_LONGEST: Final = 40


def is_ordinary_bank_day(day: date) -> bool:
    """Whether banks are open by law, without exceptions that somebody entered."""
    return day.weekday() < 5 and (day.month, day.day) not in TURN_OF_THE_YEAR and not jpholiday.is_holiday(day)


def next_bank_day(day: date, *, opened: Collection[date], closed: Collection[date]) -> date:
    """`day` if banks are open on it, else the next day on which they are."""
    for offset in range(_LONGEST):
        candidate = day + timedelta(days=offset)
        if candidate in opened or (is_ordinary_bank_day(candidate) and candidate not in closed):
            return candidate
    raise ValueError(f"no bank is open for {_LONGEST} days after {day}")


def due_day(day: date) -> date:
    """When something that matures on `day` is due: that day, or the next bank day. Interest runs on until then."""
    rows = BankDay.objects.filter(reviewed_by__isnull=False, day__range=(day, day + timedelta(days=_LONGEST)))
    exceptions = dict(rows.values_list("day", "is_open"))
    return next_bank_day(
        day,
        opened={each for each, is_open in exceptions.items() if is_open},
        closed={each for each, is_open in exceptions.items() if not is_open},
    )


def months_after(day: date, months: int) -> date:
    """The same day of the month `months` later, or that month's last day (29 February comes back on 28)."""
    later: date = day + relativedelta(months=months)
    return later
