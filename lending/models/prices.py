"""Where prices come from, what each source said, what was accepted, and what stands in the way of accepting.

A round asks every source once. Its observations become, per pair, an accepted `Price` or a reason why there is none.
Rows are only added; `Breaker` alone changes, one row per pair, locked by whoever accepts.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from chain.models import AddressField
from lending.models.terms import Asset, Currency


class Pair(models.TextChoices):
    BTC_JPY = "BTC/JPY", "BTC/JPY"
    ETH_JPY = "ETH/JPY", "ETH/JPY"
    BTC_USD = "BTC/USD", "BTC/USD"
    ETH_USD = "ETH/USD", "ETH/USD"
    # Values nothing; the prices in the two currencies are checked against each other with it.
    USD_JPY = "USD/JPY", "USD/JPY"


def RateField(verbose_name: Any, **options: Any) -> Any:  # noqa: N802
    """The currency for one whole coin, to eight decimals."""
    return models.DecimalField(verbose_name, max_digits=24, decimal_places=8, **options)


class PriceSource(models.Model):
    """One place that is asked for one pair. What it says counts once towards the quorum."""

    class Kind(models.TextChoices):
        EXCHANGE = "exchange", _("Exchange")
        FEED = "feed", _("Chainlink feed")

    pair = models.CharField(_("pair"), max_length=7, choices=Pair.choices)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    exchange = models.CharField(_("exchange"), max_length=20, blank=True, help_text="its name in ccxt")
    base_url = models.URLField(
        pgettext_lazy("network", "address"), blank=True, help_text="empty: the exchange's own; set: a simulator"
    )
    feed_address = AddressField(_("feed"), blank=True)
    is_inverse = models.BooleanField(default=False, help_text="the source quotes the pair the other way round")
    is_active = models.BooleanField(_("is asked"), default=True)
    max_age_seconds = models.PositiveIntegerField(
        _("oldest answer in seconds"), default=60, help_text="a feed that reports by heartbeat needs more"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pair", "kind", "exchange", "id"]
        verbose_name = _("price source")
        verbose_name_plural = _("price sources")
        constraints = [
            models.UniqueConstraint(
                fields=["pair", "exchange"], condition=Q(kind="exchange"), name="lending_source_exchange"
            ),
            models.UniqueConstraint(
                fields=["pair", "feed_address"], condition=Q(kind="feed"), name="lending_source_feed"
            ),
            models.CheckConstraint(
                condition=(Q(kind="exchange", feed_address="") & ~Q(exchange=""))
                | (Q(kind="feed", exchange="", base_url="") & ~Q(feed_address="")),
                name="lending_source_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pair} {self.name}"

    @property
    def name(self) -> str:
        """What people call it."""
        return self.exchange or f"Chainlink {self.feed_address}"

    @property
    def is_simulated(self) -> bool:
        return bool(self.base_url)


class PriceRound(models.Model):
    """One time that all sources were asked."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("round of prices")
        verbose_name_plural = _("rounds of prices")

    def __str__(self) -> str:
        return f"#{self.pk} {self.started_at:%Y-%m-%d %H:%M:%S}"


class Observation(models.Model):
    """What one source answered in one round: a value, or why it has none that counts."""

    class Problem(models.TextChoices):
        TIMEOUT = "timeout", _("Did not answer in time")
        UNREACHABLE = "unreachable", _("Could not be reached")
        NONSENSE = "nonsense", _("Answered nonsense")
        NOT_POSITIVE = "not_positive", _("Answered zero or less")
        STALE = "stale", _("Answer is too old")
        FUTURE = "future", _("Answer is from the future")
        OUTLIER = "outlier", _("Too far from the others")

    price_round = models.ForeignKey(PriceRound, on_delete=models.PROTECT, related_name="observations")
    source = models.ForeignKey(PriceSource, on_delete=models.PROTECT, related_name="observations")
    value = RateField(_("value"), null=True, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True, help_text="by the source's clock, if it says")
    fetched_at = models.DateTimeField()
    problem = models.CharField(max_length=12, choices=Problem.choices, blank=True)
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("answer of a price source")
        verbose_name_plural = _("answers of price sources")
        constraints = [
            models.UniqueConstraint(fields=["price_round", "source"], name="lending_observation_once"),
            models.CheckConstraint(
                condition=~Q(problem="") | Q(value__gt=0), name="lending_observation_counts_only_if_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.value} {self.problem}"


class Price(models.Model):
    """An accepted price: the median of the observations that counted. Every valuation, call and sale names one."""

    pair = models.CharField(_("pair"), max_length=7, choices=Pair.choices)
    value = RateField(_("value"))
    at = models.DateTimeField(help_text="start of its round")
    price_round = models.ForeignKey(PriceRound, on_delete=models.PROTECT, related_name="prices")
    observations = models.ManyToManyField(Observation, related_name="prices")
    sources = models.PositiveSmallIntegerField(help_text="how many counted")
    is_cross_checked = models.BooleanField(
        default=False, help_text="BTC or ETH in yen and in dollars agreed with USD/JPY"
    )
    was_confirmed = models.BooleanField(default=False, help_text="a jump, accepted after several rounds or by a person")

    class Meta:
        ordering = ["-id"]
        verbose_name = _("accepted price")
        verbose_name_plural = _("accepted prices")
        constraints = [
            models.UniqueConstraint(fields=["pair", "price_round"], name="lending_price_one_a_round"),
            models.CheckConstraint(condition=Q(value__gt=0), name="lending_price_positive"),
        ]
        indexes = [models.Index(fields=["pair", "-at"], name="lending_price_newest")]

    def __str__(self) -> str:
        return f"{self.pair} {self.value}"


class PricePolicy(models.Model):
    """What it takes to accept a price of a pair. Working choices of the desk, one row per pair."""

    pair = models.CharField(_("pair"), max_length=7, choices=Pair.choices, primary_key=True)
    quorum = models.PositiveSmallIntegerField(_("sources needed"), default=2)
    valid_seconds = models.PositiveIntegerField(_("a price holds for seconds"), default=120)
    spread_bps = models.PositiveIntegerField(
        _("farthest from the median"), default=200, help_text="basis points; a source farther off does not count"
    )
    jump_bps = models.PositiveIntegerField(_("largest step at once"), default=1000, help_text="basis points")
    confirmations = models.PositiveSmallIntegerField(_("rounds that confirm a jump"), default=3)
    confirm_limit_bps = models.PositiveIntegerField(
        _("a larger jump needs a person"), default=5000, help_text="basis points"
    )
    cross_bps = models.PositiveIntegerField(_("tolerance against USD/JPY"), default=200, help_text="basis points")
    clock_skew_seconds = models.PositiveIntegerField(_("clocks may differ by seconds"), default=30)

    class Meta:
        ordering = ["pair"]
        verbose_name = _("rule for accepting prices")
        verbose_name_plural = _("rules for accepting prices")
        constraints = [
            models.CheckConstraint(condition=Q(quorum__gte=1, confirmations__gte=2), name="lending_policy_counts"),
            models.CheckConstraint(
                condition=Q(jump_bps__gt=0, confirm_limit_bps__gt=models.F("jump_bps"), confirm_limit_bps__lt=10_000),
                name="lending_policy_jumps",
            ),
        ]

    def __str__(self) -> str:
        return self.pair


class Breaker(models.Model):
    """Whether prices of a pair are accepted. While it is open nothing is lent, valued or sold by that pair."""

    class State(models.TextChoices):
        CLOSED = "closed", _("Prices are accepted")
        OPEN = "open", _("No price is accepted")

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {State.CLOSED: {State.OPEN}, State.OPEN: {State.CLOSED}}

    class Cause(models.TextChoices):
        NO_QUORUM = "no_quorum", _("Too few sources agree")
        JUMP = "jump", _("The price jumped")
        CROSS = "cross", _("Yen, dollar and USD/JPY contradict each other")

    pair = models.CharField(_("pair"), max_length=7, choices=Pair.choices, primary_key=True)
    state = models.CharField(_("state"), max_length=6, choices=State.choices, default=State.CLOSED)
    cause = models.CharField(_("cause"), max_length=10, choices=Cause.choices, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    candidate = RateField(_("price to be confirmed"), null=True, blank=True)
    confirmed_rounds = models.PositiveSmallIntegerField(default=0)
    accept_next = models.BooleanField(
        default=False, help_text="a person looked: the next median is not compared to the last"
    )
    last_round = models.ForeignKey(PriceRound, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["pair"]
        verbose_name = _("price breaker")
        verbose_name_plural = _("price breakers")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="closed", cause="", opened_at__isnull=True)
                | (Q(state="open", opened_at__isnull=False) & ~Q(cause="")),
                name="lending_breaker_cause",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pair} {self.state}"


class PriceTick(models.Model):
    """Prices of one currency that the whole book has to be judged by. The row is the queue of the sweep."""

    price_round = models.ForeignKey(PriceRound, on_delete=models.PROTECT, related_name="ticks")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    btc = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    eth = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    evaluated_at = models.DateTimeField(null=True, blank=True)
    breaches = models.PositiveIntegerField(default=0)
    cures = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("evaluation of the book")
        verbose_name_plural = _("evaluations of the book")
        constraints = [
            models.UniqueConstraint(fields=["price_round", "currency"], name="lending_tick_once"),
            models.CheckConstraint(
                condition=Q(btc__isnull=False) | Q(eth__isnull=False), name="lending_tick_has_price"
            ),
        ]
        indexes = [
            models.Index(
                fields=["currency", "-id"], condition=Q(evaluated_at__isnull=True), name="lending_tick_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.currency}"


def pair_of(asset: str, currency: str) -> str:
    """The pair that values `asset` in `currency`."""
    return Pair(f"{Asset(asset)}/{Currency(currency)}").value
