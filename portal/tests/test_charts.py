"""A chart shows every number where its axis says it is."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.charts import HEIGHT, axis_ticks, draw

NUMBERS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


@given(low=NUMBERS, high=NUMBERS)
def test_the_axis_covers_what_it_shows_in_few_even_ticks(low: Decimal, high: Decimal) -> None:
    low, high = sorted((low, high))
    ticks = axis_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 3 <= len(ticks) <= 7
    assert len({after - before for before, after in itertools.pairwise(ticks)}) == 1


@given(values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40), bars=st.booleans())
def test_nothing_is_drawn_outside_the_drawing(values: list[tuple[Decimal, Decimal]], bars: bool) -> None:
    drawing = draw([(str(index), *row) for index, row in enumerate(values)], marks=[200, 150, 120], bars=bars)
    heights = [Decimal(point.split(",")[1]) for line in drawing["lines"] for point in line.split()]
    heights += [Decimal(bar["y"]) + Decimal(bar["height"]) for bar in drawing["bars"]]
    heights += [Decimal(mark["y"]) for mark in drawing["marks"]]
    assert all(0 <= height <= HEIGHT for height in heights)
    assert len(drawing["labels"]) <= 7
    assert len(drawing["bars"]) == (2 * len(values) if bars else 0)


def test_a_line_stands_on_its_mark_when_it_is_at_it() -> None:
    drawing = draw([("a", 150), ("b", 210)], marks=[200, 150, 120])
    assert drawing["lines"][0].split()[0].split(",")[1] == drawing["marks"][1]["y"]
    assert [mark["text"] for mark in drawing["marks"]] == ["200", "150", "120"]


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        draw([("a", 1.5), ("b", 2)])
