"""Falls of the market that really happened, as paths to replay. Pure data, no database.

Source: DOMAIN.md §4 (drawdown from the local high), read 2026-11-25. A path is points of minutes since the high and factors
in basis points of the prices there; between points it is interpolated in a straight line, hour by hour. After the
last point prices stay at the low: no rebound helps. What the source does not say is said in `assumed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

HOUR: Final = 60


@dataclass(frozen=True, slots=True)
class Point:
    """Where the prices stand `minutes` after the beginning, in basis points of where they began."""

    minutes: int
    btc: int
    eth: int
    usdjpy: int = 10_000


@dataclass(frozen=True, slots=True)
class HistoricalPath:
    """One fall, with what of it is assumed."""

    code: str
    points: tuple[Point, ...]
    assumed: str | Promise


_START: Final = Point(0, 10_000, 10_000)

PATHS: Final = {
    path.code: path
    for path in (
        HistoricalPath(
            "2020-03-12",
            # 7,300 → 5,690 in an hour is a factor of 0.7795.
            (_START, Point(24 * HOUR, 9200, 9200), Point(25 * HOUR, 7171, 7171), Point(48 * HOUR, 5200, 4900)),
            _(
                "The hour of 7,300 to 5,690 is put at the middle, after a fall of 8 %; ether falls alongside until then."
            ),
        ),
        HistoricalPath(
            "2021-05-19",
            (_START, Point(24 * HOUR, 7000, 5900)),
            _("Spread over 24 hours; the source names the day only."),
        ),
        HistoricalPath(
            "2022-06-10",
            (_START, Point(8 * 24 * HOUR, 5800, 5800)),
            _("Spread over eight days; the source names no figure for ether, so it falls as bitcoin does."),
        ),
        HistoricalPath(
            "2022-11-08",
            (_START, Point(48 * HOUR, 7600, 7600)),
            _("Spread over 48 hours; the source names no figure for ether, so it falls as bitcoin does."),
        ),
        HistoricalPath(
            "2024-08-05",
            # 153 → 145 yen.
            (_START, Point(24 * HOUR, 8300, 7700, 9477)),
            _("Spread over 24 hours; falls are taken in dollars, the yen's rise comes on top."),
        ),
        HistoricalPath("2025-10-10", (_START, Point(70, 8500, 7900)), _("A straight line over the 70 minutes.")),
    )
}
