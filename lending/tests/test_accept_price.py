"""When a price is accepted, and what happens to bad ones."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chain.models import Incident
from lending.models import Breaker, Observation, Price, PricePolicy, PriceSource, PriceTick
from lending.prices import acceptance
from lending.prices.acceptance import Quote
from lending.prices.asking import Answer
from lending.prices.exceptions import PriceRefused
from lending.selectors.prices import accepted_price, broken_pairs
from lending.services.prices import record_round, reset_breaker
from portal.exceptions import NotPermitted
from portal.models import Role
from portal.testing import make_person

pytestmark = pytest.mark.django_db
D = Decimal
BTC = D(15_000_000)
_clock = [0]


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    _clock[0] = 0


def say(pair="BTC/JPY", *values, at=None, problem=""):
    """One round in which the pair's sources say `values` in turn (None: timeout)."""
    _clock[0] += 1
    started = at or timezone.now() + timedelta(milliseconds=_clock[0])
    sources = list(PriceSource.objects.filter(pair=pair, kind="exchange").order_by("id"))
    answers = [
        Answer(source.pk, timezone.now(), None, "timeout", "")
        if value is None
        else Answer(source.pk, timezone.now(), value if isinstance(value, Quote) else Quote(D(value)))
        for source, value in zip(sources, values, strict=False)
    ]
    record_round(answers=answers, started_at=started)
    return Price.objects.filter(pair=pair).first()


def breaker(pair="BTC/JPY"):
    return Breaker.objects.get(pk=pair)


def test_the_median_of_the_sources_is_accepted_with_its_sources():
    price = say("BTC/JPY", BTC, BTC + 10_000, BTC + 20_000)
    assert price.value == BTC + 10_000
    assert price.sources == 3
    assert {row.source.exchange for row in price.observations.all()} == {"bitflyer", "bitbank", "coincheck"}
    assert accepted_price("BTC/JPY") == price


def test_an_accepted_price_queues_the_evaluation_of_the_book_in_its_currency():
    say("BTC/JPY", BTC, BTC)
    tick = PriceTick.objects.get()
    assert tick.btc is not None
    assert (tick.currency, tick.btc.value, tick.eth) == ("JPY", BTC, None)


@pytest.mark.parametrize("bad", [D(0), D(-5), D("NaN"), D("Infinity"), D("1e-20"), D("1e30"), BTC * 100, BTC / 100])
def test_one_source_with_nonsense_is_left_out(bad):
    price = say("BTC/JPY", BTC, BTC, bad)
    assert (price.value, price.sources) == (BTC, 2)
    assert Observation.objects.exclude(problem="").count() == 1


@pytest.mark.parametrize("seconds", [600, -600])
def test_an_answer_from_long_ago_or_from_the_future_does_not_count(seconds):
    shifted = Quote(BTC, timezone.now() + timedelta(seconds=seconds))
    assert say("BTC/JPY", BTC, shifted) is None
    assert Observation.objects.filter(problem__in=["future", "stale"]).count() == 1


def test_a_small_difference_of_clocks_is_borne():
    assert say("BTC/JPY", BTC, Quote(BTC, timezone.now() + timedelta(seconds=10))) is not None


def test_two_camps_of_one_size_give_no_price():
    assert say("BTC/JPY", BTC, BTC * 100) is None
    assert breaker().cause == Breaker.Cause.NO_QUORUM


def test_a_round_without_quorum_leaves_the_last_price_until_it_is_too_old():
    first = say("BTC/JPY", BTC, BTC)
    say("BTC/JPY", BTC, None)
    assert breaker().state == Breaker.State.CLOSED
    assert accepted_price("BTC/JPY") == first
    Price.objects.update(at=timezone.now() - timedelta(seconds=121))
    assert accepted_price("BTC/JPY") is None
    say("BTC/JPY", BTC, None)
    assert breaker().state == Breaker.State.OPEN
    assert Incident.objects.get(dedupe_key="lending.price:BTC/JPY").closed_at is None


def test_a_price_a_hundred_times_off_from_every_source_is_never_accepted_by_repeating_it():
    say("BTC/JPY", BTC, BTC)
    for _ in range(10):
        say("BTC/JPY", BTC / 100, BTC / 100, BTC / 100)
    assert Price.objects.count() == 1
    assert accepted_price("BTC/JPY") is None
    assert "BTC/JPY" in broken_pairs()


def test_a_jump_is_accepted_after_enough_rounds_that_say_the_same():
    say("BTC/JPY", BTC, BTC)
    low = BTC * D("0.8")
    say("BTC/JPY", low, low)
    assert accepted_price("BTC/JPY") is None
    say("BTC/JPY", low, low)
    price = say("BTC/JPY", low, low)
    assert (price.value, price.was_confirmed) == (low, True)
    assert breaker().state == Breaker.State.CLOSED
    assert Incident.objects.get(dedupe_key="lending.price:BTC/JPY").closed_at is not None


def test_a_jump_that_goes_on_jumping_is_counted_anew():
    say("BTC/JPY", BTC, BTC)
    for factor in ("0.8", "0.6", "0.8", "0.6", "0.8"):
        say("BTC/JPY", BTC * D(factor), BTC * D(factor))
    assert Price.objects.count() == 1


def test_a_loan_officer_may_believe_a_jump_and_nobody_else():
    officer, investor = make_person("officer@musubi.example", role=Role.LOAN_OFFICER), make_person("i@musubi.example")
    say("BTC/JPY", BTC, BTC)
    say("BTC/JPY", BTC / 4, BTC / 4)
    with pytest.raises(NotPermitted):
        reset_breaker(pair="BTC/JPY", actor=investor, reason="it fell")
    reset_breaker(pair="BTC/JPY", actor=officer, reason="seen on three exchanges")
    assert say("BTC/JPY", BTC / 4, BTC / 4).value == BTC / 4
    with pytest.raises(PriceRefused):
        reset_breaker(pair="BTC/JPY", actor=officer, reason="again")


def test_of_two_prices_at_once_the_newer_stands():
    now = timezone.now()
    newer = say("BTC/JPY", BTC, BTC, at=now)
    say("BTC/JPY", BTC - 1, BTC - 1, at=now)
    say("BTC/JPY", BTC - 2, BTC - 2, at=now - timedelta(seconds=1))
    assert list(Price.objects.all()) == [newer]
    assert Observation.objects.count() == 6


def _all(**values):
    """One round over several pairs."""
    answers = []
    for pair, value in values.items():
        for source in PriceSource.objects.filter(pair=pair.replace("_", "/")):
            answers.append(Answer(source.pk, timezone.now(), Quote(D(value))))
    record_round(answers=answers, started_at=timezone.now())


def test_yen_and_dollars_that_contradict_usd_jpy_are_both_refused():
    _all(BTC_JPY=15_000_000, BTC_USD=100_000, ETH_JPY=500_000, ETH_USD="3333.3", USD_JPY=150)
    assert Price.objects.filter(is_cross_checked=True).count() == 4
    _all(BTC_JPY=15_700_000, BTC_USD=100_000, ETH_JPY=500_000, ETH_USD="3333.3", USD_JPY=150)
    assert breaker("BTC/JPY").cause == breaker("BTC/USD").cause == Breaker.Cause.CROSS
    assert accepted_price("ETH/JPY") is not None
    assert accepted_price("BTC/JPY") is None


positive = st.decimals(min_value=D("0.00000001"), max_value=D(10) ** 12, places=8)


@given(st.lists(positive, min_size=1, max_size=9), st.integers(1, 2_000), st.integers(1, 5))
def test_an_agreement_lies_between_its_sources_and_has_its_quorum(values, spread, quorum):
    found = acceptance.agreement(dict(enumerate(values)), spread_bps=spread, quorum=quorum)
    if found is None:
        return
    counted = [values[key] for key in found.counted]
    assert len(counted) >= quorum
    assert min(counted) <= found.value <= max(counted)


@given(st.lists(positive, min_size=3, max_size=3), st.integers(1, 2_000))
def test_one_liar_among_three_never_moves_the_price_out_of_the_honest_ones(values, spread):
    honest = [values[0], values[0] * (1 + D(spread) / 40_000)]
    found = acceptance.agreement(
        {0: acceptance.rounded(honest[0]), 1: acceptance.rounded(honest[1]), 2: values[2]}, spread_bps=spread, quorum=2
    )
    if found is not None:
        low, high = (acceptance.rounded(each) for each in honest)
        assert low * (1 - D(spread) / 10_000) <= found.value <= high * (1 + D(spread) / 10_000) + D("0.00000001")


def test_every_pair_has_a_rule_from_the_first_day():
    assert PricePolicy.objects.count() == Breaker.objects.count() == 5
