"""Where the lines, bars, ticks and marks of a chart stand; templates/elements/chart.html draws them as SVG."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Canvas:
    """One size of drawing. A page carries both and shows the one that fits, so that figures stay readable."""

    name: str
    width: int
    height: int


CANVASES: Final = (Canvas("wide", 640, 240), Canvas("narrow", 340, 230))
_TOP, _BOTTOM = 24, 28
#: Of the figures, in the drawing's own units, as `.chart-text` sets them: a digit, a usual letter, kana.
_TEXT_HEIGHT: Final = 15
_DIGIT, _LETTER, _WIDE_LETTER = Decimal("7.8"), Decimal("7.3"), Decimal(13)
#: Between two labels.
_GAP: Final = 4
#: Steps of an axis that people read easily, times a power of ten.
_NICE: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_MOST_LABELS: Final = 7
#: A bar of something is seen, however small beside the others.
_LEAST_BAR: Final = Decimal(3)


def draw(
    rows: Sequence[Sequence[Any]],
    *,
    canvas: Canvas = CANVASES[0],
    marks: Sequence[Any] = (),
    bars: bool = False,
    divide: Decimal | int = 1,
) -> dict[str, Any]:
    """The drawing of `rows` (a label, then one number for each series); empty without two points (bars: without one).

    The axis covers every number and every mark, so that how far a line is from a mark can be seen; bars stand on zero.
    Figures in the drawing are divided by `divide` (a million, for yen): the table has them whole.
    """
    values = [[number(value) / divide for value in row[1:]] for row in rows]
    if len(values) < (1 if bars else 2):
        return {}
    levels = [number(mark) / divide for mark in marks]
    shown = [value for row in values for value in row] + levels + ([Decimal(0)] if bars else [])
    ticks = axis_ticks(min(shown), max(shown))
    names = [str(row[0]) for row in rows]
    left = max(text_width(_figure(tick)) for tick in ticks) + 10
    right = canvas.width - max([text_width(_figure(level)) + 10 for level in levels] or [Decimal(8)])
    base = canvas.height - _BOTTOM

    def y(value: Decimal) -> Decimal:
        return _TOP + (ticks[-1] - value) / (ticks[-1] - ticks[0]) * (base - _TOP)

    places = _places(len(values), left, right, bars=bars)
    boxes = _bars(values, places, y, (right - left) / len(values)) if bars else []
    return {
        "name": canvas.name,
        "width": canvas.width,
        "height": canvas.height,
        "left": f"{left:.1f}",
        "right": f"{right:.1f}",
        "base": base,
        "ticks": [{"y": f"{y(tick):.1f}", "text": _figure(tick)} for tick in _written(ticks, shown, bars=bars)],
        "marks": _marks(levels, y),
        "labels": _labels(names, places, canvas.width, bars=bars),
        "lines": [] if bars else [_line(column, places, y) for column in zip(*values, strict=True)],
        "bars": boxes,
        "figures": _figures(values, boxes, canvas.width) if bars else [],
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


def _written(ticks: list[Decimal], shown: list[Decimal], *, bars: bool) -> list[Decimal]:
    """The ticks that carry a line and a figure: beneath bars that count something, there is no half of it."""
    are_counts = bars and all(value == value.to_integral_value() for value in shown)
    return [tick for tick in ticks if not are_counts or tick == tick.to_integral_value()]


def _figure(value: Decimal) -> str:
    return f"{value.normalize():,f}"


def text_width(text: str) -> Decimal:
    """About how long a text is in the drawing; rather too long, so that nothing is cut or touches."""
    return sum(map(_sign_width, text), Decimal(0))


def _sign_width(sign: str) -> Decimal:
    if unicodedata.east_asian_width(sign) in "WF":
        return _WIDE_LETTER
    return _DIGIT if sign.isdigit() else _LETTER


def _places(count: int, left: Decimal, right: Decimal, *, bars: bool) -> list[Decimal]:
    room = right - left
    if bars:
        return [left + room * (2 * index + 1) / (2 * count) for index in range(count)]
    return [left + room * index / (count - 1) for index in range(count)]


def _labels(names: Sequence[str], places: Sequence[Decimal], width: int, *, bars: bool) -> list[dict[str, Any]]:
    """As many as fit, evenly, the first and the last among them, all within the drawing."""
    last = len(names) - 1
    for count in range(min(len(names), _MOST_LABELS), 1, -1):
        found = [_label(index * last // (count - 1), names, places, width, bars=bars) for index in range(count)]
        if all(before["until"] + _GAP <= after["from"] for before, after in itertools.pairwise(found)):
            return found
    return [_label(0, names, places, width, bars=bars)]


def _label(index: int, names: Sequence[str], places: Sequence[Decimal], width: int, *, bars: bool) -> dict[str, Any]:
    """Beneath its place; what would stick out at an end stands flush with it, as do both ends of a line."""
    place, long = places[index], text_width(names[index])
    begin = place - long / 2
    if (index == 0 and not bars) or begin < 0:
        begin = max(place - (long / 2 if bars else 0), Decimal(0))
        anchor, place = "start", begin
    elif (index == len(names) - 1 and not bars) or begin + long > width:
        place = min(place + (long / 2 if bars else 0), Decimal(width))
        anchor, begin = "end", place - long
    else:
        anchor = "middle"
    return {"x": f"{place:.1f}", "text": names[index], "anchor": anchor, "from": begin, "until": begin + long}


def _marks(levels: Sequence[Decimal], y: Any) -> list[dict[str, Any]]:
    """Each line at its level; figures that would touch move apart, the higher level above."""
    found: list[dict[str, Any]] = []
    free = Decimal(0)
    for level in sorted(levels, reverse=True):
        text = max(y(level), free)
        free = text + _TEXT_HEIGHT
        found.append({"y": f"{y(level):.1f}", "text_y": f"{text:.1f}", "text": _figure(level)})
    return found


def _line(column: Sequence[Decimal], places: Sequence[Decimal], y: Any) -> str:
    return " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, column, strict=True))


def _bars(
    values: Sequence[Sequence[Decimal]], places: Sequence[Decimal], y: Any, pitch: Decimal
) -> list[dict[str, Any]]:
    """Bars of one label stand beside each other; one below zero hangs from it."""
    series = len(values[0])
    slot = min(pitch * Decimal("0.7"), Decimal(72))
    found = []
    for row, middle in zip(values, places, strict=True):
        for index, value in enumerate(row):
            upper, lower = sorted((y(value), y(Decimal(0))))
            if value and lower - upper < _LEAST_BAR:
                upper, lower = (lower - _LEAST_BAR, lower) if value > 0 else (upper, upper + _LEAST_BAR)
            left = middle - slot / 2 + slot * index / series
            box = {"x": left, "y": upper, "width": slot / series, "height": lower - upper}
            found.append({"series": index} | {name: f"{size:.1f}" for name, size in box.items()})
    return found


def _figures(values: Sequence[Sequence[Decimal]], boxes: Sequence[dict[str, Any]], width: int) -> list[dict[str, str]]:
    """What each bar amounts to, above it, save bars of nothing; none at all where two would touch or one be cut."""
    found: list[dict[str, str]] = []
    before = (Decimal(0), Decimal(-100))
    for value, box in zip((value for row in values for value in row), boxes, strict=True):
        if not value:
            continue
        half, middle = text_width(_figure(value)) / 2, Decimal(box["x"]) + Decimal(box["width"]) / 2
        if middle + half > width or (middle - half < before[0] and abs(Decimal(box["y"]) - before[1]) < _TEXT_HEIGHT):
            return []
        before = (middle + half + _GAP, Decimal(box["y"]))
        found.append({"x": f"{middle:.1f}", "y": box["y"], "text": _figure(value)})
    return found
