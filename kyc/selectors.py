"""What other parts may ask about people: who they are, where their wallets are, whether they are verified."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection, models
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from kyc.countries import country_name
from kyc.models import Application, Decision, Party, SanctionsList, SanctionsWallet, SearchTerm, Wallet, WalletRequest
from kyc.names import tidy, tidy_kana
from kyc.screening.ofac import address_key
from kyc.sections import Section, holder_of
from portal.compiled import Instances, RowCount
from portal.memo import Remembered, once_per_request
from portal.models import User
from portal.templatetags.musubi import day

#: Counting further than this costs time and tells nobody more.
COUNT_CAP: Final = 1000


class InvestorStatus(models.TextChoices):
    """Where a person stands, in the words of pages. Only `active` may hold and receive."""

    NOT_STARTED = "not_started", _("Not started")
    DRAFT = "draft", _("Application not finished")
    SUBMITTED = "submitted", _("Application received")
    IN_REVIEW = "in_review", _("In review")
    SENT_BACK = "sent_back", _("Needs something from you")
    APPROVED_PENDING = "approved_pending", _("Approved, not yet effective")
    ACTIVE = "active", _("Verified")
    SUSPENDED = "suspended", _("Suspended")
    EXPIRED = "expired", _("Expired")
    REJECTED = "rejected", _("Not accepted")
    REVOKED = "revoked", _("Revoked")


_STATE = Application.State
_STATUS_OF = {
    _STATE.DRAFT: InvestorStatus.DRAFT,
    _STATE.SUBMITTED: InvestorStatus.SUBMITTED,
    _STATE.IN_REVIEW: InvestorStatus.IN_REVIEW,
    _STATE.APPROVED_FIRST: InvestorStatus.IN_REVIEW,
    _STATE.SENT_BACK: InvestorStatus.SENT_BACK,
    _STATE.APPROVED: InvestorStatus.APPROVED_PENDING,
    _STATE.ATTESTED: InvestorStatus.APPROVED_PENDING,
    _STATE.ISSUING: InvestorStatus.APPROVED_PENDING,
    _STATE.PENDING: InvestorStatus.APPROVED_PENDING,
    _STATE.ACTIVE: InvestorStatus.ACTIVE,
    # The chain still lets these hold, but somebody decided otherwise: pages already say so.
    _STATE.SUSPENDING: InvestorStatus.SUSPENDED,
    _STATE.SUSPENDED: InvestorStatus.SUSPENDED,
    _STATE.REINSTATING: InvestorStatus.SUSPENDED,
    _STATE.REVOKING: InvestorStatus.SUSPENDED,
    _STATE.REVOKED: InvestorStatus.REVOKED,
    # The running token stays effective while its renewal is on the way.
    _STATE.RENEWING: InvestorStatus.ACTIVE,
    _STATE.EXPIRED: InvestorStatus.EXPIRED,
    _STATE.REJECTED: InvestorStatus.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who stands behind an address, for staff pages."""

    user_id: int
    name: str
    kind: str
    email: str
    address: str


@once_per_request
def wallets_for(user: User) -> list[Wallet]:
    """The person's wallets, primary first (one query, asked once per page)."""
    return _wallets(user.pk)


_wallets: Final = Instances(lambda user: Wallet.objects.filter(user=user))


def wallets_with_requests(user: User) -> list[Wallet]:
    """The same with how each of them came to be, for the page about them."""
    return list(Wallet.objects.filter(user=user).select_related("request"))


def wallet_requests_open() -> models.QuerySet[WalletRequest]:
    """Further wallets that wait for an officer, oldest first, with their people."""
    rows = WalletRequest.objects.filter(state__in=WalletRequest.OPEN)
    return rows.select_related("wallet__user__party", "transaction").order_by("id")


def wallet_requests_waiting(officer: User) -> int | None:
    """How many of them there are, for the menu; None if there are none."""
    return _requests() or None


_requests: Final = RowCount(lambda _key: WalletRequest.objects.filter(state__in=WalletRequest.OPEN), at_most=COUNT_CAP)


def primary_wallet(user: User) -> Wallet | None:
    """The wallet that new securities go to; None before the first approval."""
    return Wallet.objects.filter(user=user, is_primary=True).select_related("signer").first()


def wallet_by_address(address: str) -> Wallet | None:
    """The wallet of a checksummed address, with its user; None if it is nobody's here."""
    return Wallet.objects.filter(address=address).select_related("signer", "user").first()


def wallet_keepers(addresses: Iterable[str]) -> dict[str, str]:
    """Who keeps the key of each wallet, in words for staff, by address (one query)."""
    rows = Wallet.objects.filter(address__in=set(addresses)).values_list("address", "kind")
    words = {Wallet.Kind.CUSTODY: _("Key kept here"), Wallet.Kind.OWN: _("Key kept by the holder")}
    return {address: str(words[Wallet.Kind(kind)]) for address, kind in rows}


def people_by_address(addresses: Iterable[str]) -> dict[str, Person]:
    """Names behind addresses, for staff pages; unknown addresses are left out (one query)."""
    wallets = Wallet.objects.filter(address__in=set(addresses)).select_related("user", "user__party")
    return {wallet.address: _person(wallet) for wallet in wallets}


def _person(wallet: Wallet) -> Person:
    party = getattr(wallet.user, "party", None)
    return Person(
        user_id=wallet.user_id,
        name=party.name if party else str(wallet.user),
        kind=party.kind if party else "",
        email=wallet.user.email,
        address=wallet.address,
    )


def current_application(user: User) -> Application | None:
    """The application that counts for this person: the open one, else the latest closed one."""
    applications = Application.objects.filter(user=user)
    return applications.exclude(state__in=Application.CLOSED).first() or applications.order_by("-id").first()


def investor_status(user: User) -> InvestorStatus:
    """Where the person stands, from our own records. Who may hold is decided by the chain alone."""
    application = current_application(user)
    return _STATUS_OF[Application.State(application.state)] if application else InvestorStatus.NOT_STARTED


def party_for(user: User) -> Party | None:
    """The person or company behind the account as two officers verified it; None before the first approval."""
    return Party.objects.filter(user=user).select_related("user").first()


def verified_parties(*, search: str = "") -> list[Party]:
    """Parties whose token is effective, by name; `search` looks in names and e-mail. At most 200."""
    parties = Party.objects.filter(is_verified=True).select_related("user")
    if search:
        parties = parties.filter(
            models.Q(name__icontains=search)
            | models.Q(name_kana__icontains=search)
            | models.Q(name_romaji__icontains=search)
            | models.Q(user__email__icontains=search)
        )
    return list(parties.order_by("name", "id")[:200])


def names_by_user(user_ids: Iterable[int]) -> dict[int, str]:
    """The verified names behind accounts, for staff pages; accounts without one are left out (one query)."""
    return dict(Party.objects.filter(user_id__in=set(user_ids)).values_list("user_id", "name"))


# --- listed wallets --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedWallet:
    """An address that stands on a current sanctions list, and whose it is said to be."""

    address: str
    entry_number: int
    name: str
    list_name: str


@dataclass(frozen=True, slots=True)
class WalletSearch:
    """One search for addresses on every current list. Without a list nothing was searched, and nothing may be concluded."""

    lists: list[dict[str, str]]
    hits: list[ListedWallet]

    @property
    def is_possible(self) -> bool:
        return bool(self.lists)


def spelled_alike(address: str) -> str:
    """The form in which two spellings of one address are equal; searching for it finds both."""
    return address_key(address)


def search_listed_wallets(addresses: Iterable[str]) -> WalletSearch:
    """Look for addresses of any network among the lists' digital currency addresses (two queries).

    The list's own name of the currency is not asked: one 0x address is the same person's on every such chain.
    """
    keys = {address_key(address): address for address in addresses}
    current = list(SanctionsList.objects.filter(is_current=True).order_by("kind"))
    found = SanctionsWallet.objects.filter(
        address_key__in=list(keys), entry__sanctions_list__in=[row.pk for row in current]
    ).select_related("entry__sanctions_list")
    return WalletSearch(
        lists=[
            {"name": row.name, "published_on": row.published_on.isoformat(), "sha256": row.sha256} for row in current
        ],
        hits=[
            ListedWallet(
                address=keys[wallet.address_key],
                entry_number=wallet.entry.number,
                name=wallet.entry.name,
                list_name=str(wallet.entry.sanctions_list),
            )
            for wallet in found.order_by("id")
        ],
    )


# --- pages -----------------------------------------------------------------------------------------------------


def answers_of(application: Application, section: Section) -> list[tuple[str, str]]:
    """(question, answer) of one section in the reader's language; unanswered ones as “—”."""
    rows = []
    for field in section.fields:
        holder = holder_of(application, field)
        column = holder._meta.get_field(field)
        rows.append((capfirst(str(column.verbose_name)), _shown(holder, field)))  # type: ignore[union-attr]
    return rows


def _shown(holder: models.Model, field: str) -> str:
    value = getattr(holder, field)
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if field in ("nationality", "residence", "country"):
        return country_name(value)
    if isinstance(value, date):
        return day(value)
    display = getattr(holder, f"get_{field}_display", None)
    return str(display()) if display else str(value)


PAGE_SIZE = 20


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """What the officer wants to see; every part from the address."""

    state: str = ""
    kind: str = ""
    owner: str = ""
    age_days: int = 0
    open_hits: bool = False
    search: str = ""


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One page of the queue, oldest first, and the key of the next one."""

    cases: list[Application]
    next_after: str


#: What the list shows of a case.
_SHOWN: Final = (
    "user_id",
    "kind",
    "state",
    "name",
    "submitted_at",
    "open_hits",
    "screening_ready",
    "assigned_to__email",
    "assigned_to__display_name",
)


def queue(*, filters: QueueFilter, officer: User, after: str = "") -> QueuePage:
    """The cases that match, oldest submission first; a keyset page, so page 1,000 costs what page 1 costs.

    One query. `after` is `QueuePage.next_after` of the page before; nonsense starts at the beginning.
    """
    cases = _filtered(filters, officer).select_related("assigned_to").only(*_SHOWN).order_by("submitted_at", "id")
    if key := _read_key(after):
        at, pk = key
        cases = cases.filter(models.Q(submitted_at__gt=at) | models.Q(submitted_at=at, id__gt=pk))
    rows = list(cases[: PAGE_SIZE + 1])
    more = len(rows) > PAGE_SIZE
    rows = rows[:PAGE_SIZE]
    return QueuePage(rows, _key(rows[-1]) if more else "")


def _key(application: Application) -> str:
    return f"{application.submitted_at.isoformat()}_{application.pk}" if application.submitted_at else ""


def _read_key(text: str) -> tuple[datetime, int] | None:
    at, separator, pk = text.rpartition("_")
    try:
        return (datetime.fromisoformat(at), int(pk)) if separator else None
    except ValueError:
        return None


def _filtered(filters: QueueFilter, officer: User) -> models.QuerySet[Application]:
    cases = _in_state(filters.state)
    if filters.kind:
        cases = cases.filter(kind=filters.kind)
    if filters.owner == "me":
        cases = cases.filter(assigned_to=officer)
    elif filters.owner == "nobody":
        cases = cases.filter(assigned_to__isnull=True)
    if filters.age_days:
        cases = cases.filter(submitted_at__lte=timezone.now() - timedelta(days=filters.age_days))
    if filters.open_hits:
        cases = cases.filter(open_hits__gt=0)
    return _found(cases, filters.search) if filters.search.strip() else cases


def _in_state(state: str) -> models.QuerySet[Application]:
    cases = Application.objects.filter(submitted_at__isnull=False)
    if state == "all":
        return cases
    if state == "on_chain":
        return cases.filter(state__in=Application.ON_CHAIN)
    return cases.filter(state=state) if state else cases.filter(state__in=Application.WITH_OFFICERS)


def _found(cases: models.QuerySet[Application], search: str) -> models.QuerySet[Application]:
    text = tidy(search).casefold()
    if re.fullmatch(r"k-?\d{1,12}", text):
        return cases.filter(pk=int(text.lstrip("k-")))
    if "@" in text:
        return cases.filter(user__email__startswith=text)
    terms = SearchTerm.objects.filter(models.Q(text__startswith=text) | models.Q(text__startswith=tidy_kana(text)))
    return cases.filter(pk__in=terms.values("application"))


#: Counting stops at the cap in each state: nobody needs to know how many thousands wait, and the page must not wait for it.
_COUNTS: Final = """
    SELECT state, (SELECT count(*) FROM (SELECT 1 FROM kyc_application WHERE state = wanted.state LIMIT %s) AS capped)
    FROM unnest(%s::text[]) AS wanted (state)
"""


@once_per_request
def queue_counts() -> dict[str, int]:
    """How many cases wait in each state, at most COUNT_CAP + 1 each (then “1000+”). One query, asked once per page."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [COUNT_CAP + 1, [state.value for state in Application.WITH_OFFICERS]])
        return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class QueueAges:
    """How long cases have waited for an officer: under a day, one to three, three to seven, longer; COUNT_CAP + 1 is more."""

    counts: tuple[int, ...]
    oldest: datetime | None


#: Days after which a case belongs to the next group.
AGE_STEPS = (1, 3, 7)


#: Each group is counted by itself and to the cap, through the index by state and time; an end that is open is infinite.
_AGES: Final = """
    WITH waiting AS NOT MATERIALIZED (
        SELECT submitted_at FROM kyc_application WHERE state = ANY(%(states)s) AND submitted_at IS NOT NULL
    )
    SELECT (SELECT min(submitted_at) FROM waiting), array_agg(capped.cases ORDER BY age.until DESC)
    FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) AS age (since, until)
    CROSS JOIN LATERAL (
        SELECT count(*) AS cases FROM (
            SELECT 1 FROM waiting WHERE submitted_at > age.since AND submitted_at <= age.until LIMIT %(most)s
        ) AS those
    ) AS capped
"""


def _queue_ages() -> QueueAges:
    now = timezone.now()
    bounds = [(now - timedelta(days=days)).isoformat() for days in AGE_STEPS]
    values: dict[str, Any] = {"since": [*bounds, "-infinity"], "until": ["infinity", *bounds], "most": COUNT_CAP + 1}
    with connection.cursor() as cursor:
        cursor.execute(_AGES, values | {"states": [state.value for state in Application.WITH_OFFICERS]})
        oldest, counts = cursor.fetchone()
    return QueueAges(tuple(counts), oldest)


#: The ages of all cases with officers, each group counted to the cap at most, as they stood at most five seconds ago: what
#: they show is counted in days. One query, whatever waits.
queue_ages: Final = Remembered(_queue_ages, seconds=5)


def waiting_for(officer: User) -> int | None:
    """How many cases this officer could take, for the menu, at most COUNT_CAP; None if there are none."""
    return min(sum(queue_counts().values()), COUNT_CAP) or None


def next_case(*, officer: User, after_id: int | None = None) -> Application | None:
    """The oldest case this officer may take: not their own, nobody else's, not approved first by them."""
    cases = (
        Application.objects.filter(state__in=Application.WITH_OFFICERS)
        .filter(models.Q(assigned_to__isnull=True) | models.Q(assigned_to=officer))
        .exclude(user=officer)
        .exclude(
            state=Application.State.APPROVED_FIRST,
            decisions__officer=officer,
            decisions__is_standing=True,
            decisions__verdict=Decision.Verdict.APPROVE,
        )
    )
    if after_id is not None:
        cases = cases.exclude(pk=after_id)
    return cases.order_by("submitted_at", "id").first()
