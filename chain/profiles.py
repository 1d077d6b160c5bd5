"""Delays, limits and caps of an installation: what differs between a test, the demo and production (CONTRACTS)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings

ETHER: Final = 10**18
#: What is priced where prices are simulated, in the order in which the feeds are deployed.
SIMULATED_FEEDS: Final = ("BTC/USD", "ETH/USD", "JPY/USD")


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that is set when contracts are deployed and cannot be made laxer quietly afterwards."""

    #: From the issue of an SBT to its effect.
    activation_delay: timedelta
    #: Issues and renewals within any 24 hours; half of it at once.
    issuance_limit_per_day: int
    #: How long a controller's operation stands in public view before it may run.
    controller_delay: timedelta
    #: How long an admin's operation stands in public view in the timelock before it may run.
    admin_delay: timedelta
    #: From announcing a recovery to making it.
    recovery_delay: timedelta
    #: Admissions on one token within any 24 hours; half of it at once.
    admission_limit_per_day: int
    #: Units minted within any 24 hours, as a multiple of the authorised amount; half of it at once.
    mint_limit_factor: int
    #: From proposing to return collateral to its borrower to returning it.
    release_delay: timedelta
    #: Notice of another borrower's address, or another address for sales, in the vault.
    notice_period: timedelta
    #: Wei returned to borrowers, and wei sold, within any 24 hours; half of it at once.
    release_limit_per_day_wei: int
    sale_limit_per_day_wei: int
    #: Whether price feeds are simulated on the chain; otherwise their addresses are settings.
    simulates_prices: bool
    #: Whether we hold an officer's attesting key. A real officer signs in their own wallet.
    holds_attestor: bool
    #: Whether we hold development keys for the officers of the two Safes; otherwise their addresses are settings.
    holds_officers: bool


PROFILES: Final = {
    "test": Profile(
        activation_delay=timedelta(0),
        issuance_limit_per_day=10_000,
        controller_delay=timedelta(seconds=1),
        admin_delay=timedelta(seconds=1),
        recovery_delay=timedelta(seconds=1),
        admission_limit_per_day=10_000,
        mint_limit_factor=2,
        release_delay=timedelta(seconds=1),
        notice_period=timedelta(seconds=1),
        release_limit_per_day_wei=100_000 * ETHER,
        sale_limit_per_day_wei=100_000 * ETHER,
        simulates_prices=True,
        holds_attestor=True,
        holds_officers=True,
    ),
    "demo": Profile(
        activation_delay=timedelta(seconds=5),
        issuance_limit_per_day=1_000,
        controller_delay=timedelta(seconds=30),
        admin_delay=timedelta(seconds=5),
        recovery_delay=timedelta(seconds=60),
        admission_limit_per_day=1_000,
        mint_limit_factor=2,
        release_delay=timedelta(seconds=20),
        notice_period=timedelta(seconds=30),
        release_limit_per_day_wei=10_000 * ETHER,
        sale_limit_per_day_wei=20_000 * ETHER,
        simulates_prices=True,
        holds_attestor=True,
        holds_officers=True,
    ),
    # Production's delays and limits, with keys of our own for every officer: drills move the node's clock (chain/drills).
    "drill": Profile(
        activation_delay=timedelta(hours=24),
        issuance_limit_per_day=100,
        controller_delay=timedelta(hours=24),
        admin_delay=timedelta(hours=48),
        recovery_delay=timedelta(days=7),
        admission_limit_per_day=200,
        mint_limit_factor=2,
        release_delay=timedelta(hours=6),
        notice_period=timedelta(hours=24),
        release_limit_per_day_wei=5_000 * ETHER,
        sale_limit_per_day_wei=50_000 * ETHER,
        simulates_prices=True,
        holds_attestor=True,
        holds_officers=True,
    ),
    # Half of the factor at once: a placement that closes on one day can be minted on that day.
    "production": Profile(
        activation_delay=timedelta(hours=24),
        issuance_limit_per_day=100,
        controller_delay=timedelta(hours=24),
        admin_delay=timedelta(hours=48),
        recovery_delay=timedelta(days=7),
        admission_limit_per_day=200,
        mint_limit_factor=2,
        release_delay=timedelta(hours=6),
        notice_period=timedelta(hours=24),
        release_limit_per_day_wei=5_000 * ETHER,
        sale_limit_per_day_wei=50_000 * ETHER,
        simulates_prices=False,
        holds_attestor=False,
        holds_officers=False,
    ),
}


def profile() -> Profile:
    """The profile `CHAIN_PROFILE` names."""
    return PROFILES[settings.CHAIN_PROFILE]
