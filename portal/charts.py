"""Where the lines, bars, ticks and marks of a chart stand; templates/elements/chart.html draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

WIDTH: Final = 640
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 56, 22, 26
#: Steps of an axis that people read easily, times a power of ten.
_NICE: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_MOST_LABELS: Final = 7


def draw(rows: Sequence[Sequence[Any]], *, marks: Sequence[int] = (), bars: bool = False) -> dict[str, Any]:
    """The drawing of `rows` (a label, then one number for each series); empty without two points (bars: without one).

    The axis covers every number and every mark, so that how far a line is from a mark can be seen; bars stand on zero.
    """
    values = [[number(value) for value in row[1:]] for row in rows]
    if len(values) < (1 if bars else 2):
        return {}
    shown = [value for row in values for value in row] + [Decimal(mark) for mark in marks]
    ticks = axis_ticks(min([*shown, Decimal(0)] if bars else shown), max([*shown, Decimal(0)] if bars else shown))
    bottom, top = ticks[0], ticks[-1]

    def y(value: Decimal) -> Decimal:
        return _TOP + (top - value) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM)

    places = _places(len(values), bars=bars)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "base": HEIGHT - _BOTTOM,
        "ticks": [{"y": f"{y(tick):.1f}", "text": f"{tick.normalize():,f}"} for tick in ticks],
        "marks": [{"y": f"{y(Decimal(mark)):.1f}", "text": f"{mark:,}"} for mark in marks],
        "labels": _labels([row[0] for row in rows], places),
        "lines": [] if bars else [_line(column, places, y) for column in zip(*values, strict=True)],
        "bars": _bars(values, places, y) if bars else [],
    }


def number(value: Any) -> Decimal:
    """An exact number; a float is a mistake of the caller."""
    if isinstance(value, bool | float):
        raise TypeError(f"a chart draws Decimals or integers, not {type(value).__name__}")
    return Decimal(str(value))


def axis_ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Between three and seven even ticks on round numbers, the first not above `low`, the last not below `high`."""
    if low == high:
        low, high = low - 1, high + 1
    rough = (high - low) / 4
    power = Decimal(1).scaleb(rough.adjusted())
    step = next(nice * power for nice in _NICE if nice * power >= rough)
    first = (low / step).to_integral_value(ROUND_FLOOR)
    last = (high / step).to_integral_value(ROUND_CEILING)
    return [step * place for place in range(int(first), int(last) + 1)]


def _places(count: int, *, bars: bool) -> list[Decimal]:
    room = Decimal(WIDTH - _LEFT - _RIGHT)
    if bars:
        return [_LEFT + room * (2 * index + 1) / (2 * count) for index in range(count)]
    return [_LEFT + room * index / (count - 1) for index in range(count)]


def _labels(names: Sequence[Any], places: Sequence[Decimal]) -> list[dict[str, Any]]:
    every = -(-len(names) // _MOST_LABELS)
    return [{"x": f"{places[index]:.1f}", "text": names[index]} for index in range(0, len(names), every)]


def _line(column: Sequence[Decimal], places: Sequence[Decimal], y: Any) -> str:
    return " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, column, strict=True))


def _bars(values: Sequence[Sequence[Decimal]], places: Sequence[Decimal], y: Any) -> list[dict[str, Any]]:
    """Bars of one label stand beside each other; one below zero hangs from it."""
    series = len(values[0])
    slot = min(Decimal(WIDTH - _LEFT - _RIGHT) / len(values) * Decimal("0.7"), Decimal(72))
    found = []
    for row, middle in zip(values, places, strict=True):
        for index, value in enumerate(row):
            upper, lower = sorted((y(value), y(Decimal(0))))
            left = middle - slot / 2 + slot * index / series
            box = {"x": left, "y": upper, "width": slot / series, "height": lower - upper}
            found.append({"series": index} | {name: f"{size:.1f}" for name, size in box.items()})
    return found
