"""A chart shows every number where its axis says it is."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.charts import CANVASES, Canvas, axis_ticks, draw, text_width

NUMBERS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


@given(low=NUMBERS, high=NUMBERS)
def test_the_axis_covers_what_it_shows_in_few_even_ticks(low: Decimal, high: Decimal) -> None:
    low, high = sorted((low, high))
    ticks = axis_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 3 <= len(ticks) <= 7
    assert len({after - before for before, after in itertools.pairwise(ticks)}) == 1


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: canvas.name)
@given(values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40), bars=st.booleans())
def test_nothing_is_drawn_outside_the_drawing(
    canvas: Canvas, values: list[tuple[Decimal, Decimal]], bars: bool
) -> None:
    rows = [(str(index), *row) for index, row in enumerate(values)]
    drawing = draw(rows, canvas=canvas, marks=[200, 150, 120], bars=bars)
    points = [point.split(",") for line in drawing["lines"] for point in line.split()]
    heights = [Decimal(point[1]) for point in points]
    heights += [Decimal(bar["y"]) + Decimal(bar["height"]) for bar in drawing["bars"]]
    heights += [Decimal(mark["y"]) for mark in drawing["marks"]]
    assert all(0 <= height <= canvas.height for height in heights)
    places = [Decimal(point[0]) for point in points] + [Decimal(bar["x"]) for bar in drawing["bars"]]
    assert all(Decimal(drawing["left"]) - 1 <= place <= Decimal(drawing["right"]) + 1 for place in places)
    assert len(drawing["labels"]) <= 7
    assert len(drawing["bars"]) == (2 * len(values) if bars else 0)


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: canvas.name)
def test_figures_of_near_marks_do_not_touch(canvas: Canvas) -> None:
    """120 and 150 come close where the axis reaches far; the lines stay where they belong."""
    drawing = draw([("a", 100), ("b", 1000)], canvas=canvas, marks=[120, 150, 200])
    texts = [Decimal(mark["text_y"]) for mark in drawing["marks"]]
    assert [mark["text"] for mark in drawing["marks"]] == ["200", "150", "120"]
    assert all(below - above >= 15 for above, below in itertools.pairwise(texts))
    lines = [Decimal(mark["y"]) for mark in drawing["marks"]]
    assert lines[2] - lines[1] < 15


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: canvas.name)
@pytest.mark.parametrize("count", [2, 3, 12, 365, 10_000])
@pytest.mark.parametrize("name", ["7", "23 Nov 2026", "2026年11月23日"])
def test_labels_do_not_touch_and_the_last_one_is_there(canvas: Canvas, count: int, name: str) -> None:
    labels = draw([(name, index) for index in range(count)], canvas=canvas)["labels"]
    assert (labels[0]["anchor"], labels[-1]["anchor"]) == ("start", "end")
    width = text_width(name)
    middles = [Decimal(label["x"]) for label in labels]
    middles[0] += width / 2
    middles[-1] -= width / 2
    assert all(after - before >= width for before, after in itertools.pairwise(middles))


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: canvas.name)
def test_labels_of_many_bars_stay_within_the_drawing(canvas: Canvas) -> None:
    labels = draw([("2036年11月30日", 5)] * 21, canvas=canvas, bars=True)["labels"]
    assert all(label["from"] >= 0 and label["until"] <= canvas.width for label in labels)
    assert len(labels) >= 2


@pytest.mark.parametrize(
    ("names", "marks"),
    [(("Subscribed", "Allocated", "Issued"), [10_000]), (("< 1 day", "1–3 days", "3–7 days", "> 7 days"), [])],
)
def test_a_phone_shows_every_name_of_a_few_bars(names: tuple[str, ...], marks: list[int]) -> None:
    drawing = draw([(name, 10_000) for name in names], canvas=CANVASES[1], bars=True, marks=marks)
    assert [label["text"] for label in drawing["labels"]] == list(names)


def test_a_small_bar_is_seen_beside_a_large_one_and_each_says_what_it_is() -> None:
    drawing = draw([("interest", 4_000), ("nothing", 0), ("repayment", 1_000_000)], bars=True)
    assert [bar["height"] for bar in drawing["bars"]][:2] == ["3.0", "0.0"]
    assert [figure["text"] for figure in drawing["figures"]] == ["4,000", "1,000,000"]


def test_figures_that_would_touch_are_left_to_the_table() -> None:
    assert draw([(str(index), 1_000_000) for index in range(20)], bars=True)["figures"] == []


def test_an_axis_can_count_millions() -> None:
    drawing = draw([("a", 0), ("b", 1_000_000_000)], divide=1_000_000)
    assert [tick["text"] for tick in drawing["ticks"]] == ["0", "250", "500", "750", "1,000"]


def test_a_line_stands_on_its_mark_when_it_is_at_it() -> None:
    drawing = draw([("a", 150), ("b", 210)], marks=[200, 150, 120])
    assert drawing["lines"][0].split()[0].split(",")[1] == drawing["marks"][1]["y"]
    assert [mark["text"] for mark in drawing["marks"]] == ["200", "150", "120"]


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        draw([("a", 1.5), ("b", 2)])


@pytest.mark.parametrize(
    ("counts", "figures"),
    [
        ((1, 0), ["0", "1"]),
        ((2, 1), ["0", "1", "2"]),
        ((3, 0), ["0", "1", "2", "3"]),
        ((40, 7), ["0", "10", "20", "30", "40"]),
    ],
)
def test_bars_that_count_have_no_fractions_beside_them(counts: tuple[int, int], figures: list[str]) -> None:
    rows = [(str(index), count) for index, count in enumerate(counts)]
    assert [tick["text"] for tick in draw(rows, bars=True)["ticks"]] == figures
    assert [tick["text"] for tick in draw([("a", Decimal("0.5")), ("b", 1)], bars=True)["ticks"]][1] == "0.25"
