"""Sanctions screening: loading lists, running searches, and the decision of two people about every hit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from kyc import rules, sections
from kyc.exceptions import NotYourCase, ScreeningUndecided
from kyc.models import (
    Application,
    SanctionsEntry,
    SanctionsList,
    SanctionsName,
    SanctionsWallet,
    ScreeningHit,
    ScreeningRun,
    Wallet,
)
from kyc.names import normalise
from kyc.screening import ofac
from kyc.screening.match import Candidate, NameIndex, Query, final_score
from kyc.services.guards import locked, move, require_officer
from portal import audit
from portal.exceptions import DomainError
from portal.models import User
from portal.state import require_transition
from portal.wake import wake

logger = logging.getLogger(__name__)
_BATCH = 2000
#: Names this far below the threshold still reach the scoring: a date of birth may lift them.
_MARGIN = 8


# --- lists ------------------------------------------------------------------------------------------------


def load_sanctions_list(
    *, kind: str, directory: Path, name: str, published_on: date, is_sample: bool = False
) -> SanctionsList:
    """Read a published set of files and make it the current list of its kind; everybody active is screened again.

    The same files again are the same version: nothing is read twice. Raises ListUnreadable and changes nothing.
    """
    sha256 = ofac.digest(directory)
    existing = SanctionsList.objects.filter(kind=kind, sha256=sha256).first()
    if existing is not None:
        return _make_current(existing)
    entities = ofac.read(directory)
    with transaction.atomic():
        sanctions_list = SanctionsList.objects.create(
            kind=kind, name=name, published_on=published_on, sha256=sha256, is_sample=is_sample, is_current=False
        )
        _store_entities(sanctions_list, entities)
        return _make_current(sanctions_list)


def _store_entities(sanctions_list: SanctionsList, entities: list[ofac.ListedEntity]) -> None:
    rows = SanctionsEntry.objects.bulk_create(
        (
            SanctionsEntry(
                sanctions_list=sanctions_list,
                number=entity.number,
                name=entity.name[:400],
                kind=entity.kind[:20],
                program=entity.program[:200],
                title=entity.title[:300],
                remarks=entity.remarks,
                birth_dates=entity.birth_dates,
                countries=[country[:60] for country in entity.countries],
                addresses=entity.addresses,
            )
            for entity in entities
        ),
        batch_size=_BATCH,
    )
    by_number = {row.number: row for row in rows}
    names = [
        SanctionsName(
            entry=by_number[entity.number],
            name=listed.name[:400],
            normalised=normalise(listed.name)[:400],
            kind=listed.kind,
        )
        for entity in entities
        for listed in entity.names
    ]
    wallets = [
        SanctionsWallet(
            entry=by_number[entity.number], currency=currency, address=address, address_key=ofac.address_key(address)
        )
        for entity in entities
        for currency, address in entity.wallets
    ]
    SanctionsName.objects.bulk_create(names, batch_size=_BATCH)
    SanctionsWallet.objects.bulk_create(wallets, batch_size=_BATCH)
    sanctions_list.entry_count, sanctions_list.name_count = len(rows), len(names)
    sanctions_list.wallet_count = len(wallets)
    sanctions_list.save(update_fields=["entry_count", "name_count", "wallet_count"])


@transaction.atomic
def _make_current(sanctions_list: SanctionsList) -> SanctionsList:
    if sanctions_list.is_current:
        return sanctions_list
    SanctionsList.objects.filter(kind=sanctions_list.kind, is_current=True).update(is_current=False)
    sanctions_list.is_current = True
    sanctions_list.save(update_fields=["is_current"])
    rescreen_active_holders(sanctions_list=sanctions_list)
    audit.record(
        action="kyc.list.loaded",
        subject_type="kyc.sanctionslist",
        subject_id=sanctions_list.pk,
        actor="load_sanctions_list",
        data={
            "name": sanctions_list.name,
            "published_on": sanctions_list.published_on.isoformat(),
            "sha256": sanctions_list.sha256,
            "entries": sanctions_list.entry_count,
        },
    )
    return sanctions_list


# --- asking for a search --------------------------------------------------------------------------------------


def request_screening(*, application: Application, cause: str, actor: User | None = None) -> list[ScreeningRun]:
    """One pending run per current list for this round of answers; in the caller's transaction."""
    from kyc.tasks import run_screening_task

    runs = []
    for sanctions_list in SanctionsList.objects.filter(is_current=True):
        run = _pending_run(application, sanctions_list, cause)
        runs.append(run)
        wake(run_screening_task, run.pk)
    return runs


def _pending_run(application: Application, sanctions_list: SanctionsList, cause: str) -> ScreeningRun:
    facts: dict[str, Any] = {
        "list_name": sanctions_list.name,
        "list_published_on": sanctions_list.published_on,
        "list_sha256": sanctions_list.sha256,
    }
    run, _created = ScreeningRun.objects.get_or_create(
        application=application,
        sanctions_list=sanctions_list,
        round=application.round,
        defaults={"cause": cause, **facts},
    )
    return run


def rescreen_active_holders(*, sanctions_list: SanctionsList) -> int:
    """Ask for a search of a new list for everybody who was submitted, is active or may become active. Number asked.

    In the caller's transaction; the searches themselves run in tasks and sweeps, and a hit there suspends.
    """
    from kyc.tasks import sweep_screenings_task

    wanted = (
        Application.objects.filter(state__in=[*Application.ON_CHAIN, *Application.WITH_OFFICERS])
        .exclude(screening_runs__sanctions_list=sanctions_list)
        .order_by("pk")
    )
    rows = (
        ScreeningRun(
            application_id=pk,
            sanctions_list=sanctions_list,
            list_name=sanctions_list.name,
            list_published_on=sanctions_list.published_on,
            list_sha256=sanctions_list.sha256,
            round=round_,
            cause=ScreeningRun.Cause.LIST_CHANGE,
        )
        for pk, round_ in wanted.values_list("pk", "round").iterator(chunk_size=_BATCH)
    )
    total = sum(len(ScreeningRun.objects.bulk_create(batch, ignore_conflicts=True)) for batch in _batched(rows))
    wake(sweep_screenings_task)
    return total


def _batched(rows: Iterator[ScreeningRun]) -> Iterator[list[ScreeningRun]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


@transaction.atomic
def run_again(*, application_id: int, officer: User) -> list[ScreeningRun]:
    """Ask again for every current list whose search has not finished well; finished ones stay."""
    application = locked(application_id)
    require_officer(officer, application)
    runs = request_screening(application=application, cause=ScreeningRun.Cause.REQUEST, actor=officer)
    audit.record(
        action="kyc.screening.requested",
        subject_type="kyc.application",
        subject_id=application.pk,
        actor=officer,
        data={"runs": [run.pk for run in runs]},
    )
    return runs


# --- searching -----------------------------------------------------------------------------------------------------


def run_due_screenings(*, limit: int = 200) -> int:
    """Search for every run that waits or failed. Number that finished."""
    pending = ScreeningRun.objects.exclude(state=ScreeningRun.State.DONE).order_by("id")
    return sum(run_screening(run_id=pk) for pk in list(pending.values_list("pk", flat=True)[:limit]))


def run_screening(*, run_id: int) -> bool:
    """pending | failed → done with its hits, or → failed with the reason, to be run again. True if it finished.

    A finished run is left as it is. Hits that two people cleared before, for the same person and the same entry, are
    carried over as cleared. An undecided hit takes an approval back, and suspends somebody who is on chain.
    """
    try:
        with transaction.atomic():
            return _search_and_store(run_id)
    except Exception as error:  # whatever went wrong, the run says so and the case cannot be approved meanwhile
        logger.exception("screening run %s failed", run_id)
        _fail(run_id, error)
        return False


def _search_and_store(run_id: int) -> bool:
    application_id = ScreeningRun.objects.values_list("application_id", flat=True).get(pk=run_id)
    application = locked(application_id)
    run = ScreeningRun.objects.select_for_update().select_related("sanctions_list").get(pk=run_id)
    if run.state == ScreeningRun.State.DONE:
        return False
    threshold, version = rules.screening_threshold(timezone.localdate())
    queries = queries_of(application)
    found = [hit for query in queries for hit in _hits(run, query, threshold=threshold)]
    found += _wallet_hits(run)
    _store_hits(run, found)
    require_transition(
        ScreeningRun.TRANSITIONS, current=run.state, target=ScreeningRun.State.DONE, code="kyc.screening.wrong_state"
    )
    run.state = ScreeningRun.State.DONE
    run.threshold, run.rule_version, run.error = threshold, version, ""
    run.names_searched = sum(len(query.names) for query in queries)
    run.finished_at = timezone.now()
    run.save(update_fields=["state", "threshold", "rule_version", "names_searched", "error", "finished_at"])
    settle(application)
    return True


def _fail(run_id: int, error: Exception) -> None:
    with transaction.atomic():
        run = ScreeningRun.objects.select_for_update().get(pk=run_id)
        if run.state == ScreeningRun.State.DONE:
            return
        run.state = ScreeningRun.State.FAILED
        run.error = f"{type(error).__name__}: {error}"[:200]
        run.save(update_fields=["state", "error"])


def queries_of(application: Application) -> list[Query]:
    """Everybody to look for: the applicant, the representative, every beneficial owner, in every writing we have."""
    if not application.is_corporate:
        names = _writings(*sections.names_of(application))
        return [Query(ScreeningHit.Who.APPLICANT, names, application.individual.birth_date)]
    company = application.corporate
    representative = _writings(company.representative_name, company.representative_kana, company.representative_romaji)
    return [
        Query(ScreeningHit.Who.APPLICANT, _writings(*sections.names_of(application)), is_individual=False),
        Query(ScreeningHit.Who.REPRESENTATIVE, representative, company.representative_birth_date),
        *(
            Query(ScreeningHit.Who.OWNER, _writings(owner.name, owner.name_kana, owner.name_romaji), owner.birth_date)
            for owner in application.owners.all()
        ),
    ]


def _writings(*names: str) -> tuple[str, ...]:
    """The writings that can be compared; Han characters alone carry no reading and normalise to nothing."""
    return tuple(dict.fromkeys(name for name in names if normalise(name)))


@lru_cache(maxsize=4)
def _index(list_id: int) -> NameIndex:
    # A list version never changes, so its index may live as long as the process.
    names = SanctionsName.objects.filter(entry__sanctions_list=list_id)
    return NameIndex(names.values_list("entry_id", "name", "normalised").iterator(chunk_size=10_000))


def _hits(run: ScreeningRun, query: Query, *, threshold: int) -> Iterator[ScreeningHit]:
    candidates = _index(run.sanctions_list_id).candidates(query, floor=threshold - _MARGIN)
    entries = SanctionsEntry.objects.in_bulk([candidate.entry_id for candidate in candidates])
    for candidate in candidates:
        entry = entries[candidate.entry_id]
        score, explanation = final_score(candidate, query, entry_kind=entry.kind, birth_dates=entry.birth_dates)
        if score >= threshold:
            yield _hit(run, query, candidate, entry, score, explanation)


def _hit(
    run: ScreeningRun,
    query: Query,
    candidate: Candidate,
    entry: SanctionsEntry,
    score: int,
    explanation: dict[str, Any],
) -> ScreeningHit:
    return ScreeningHit(
        run=run,
        application_id=run.application_id,
        entry=entry,
        who=query.who,
        subject_name=candidate.subject_name[:200],
        listed_name=candidate.listed_name,
        score=score,
        explanation=explanation,
        fingerprint=_fingerprint(run, query, entry, candidate.listed_name),
    )


def _fingerprint(run: ScreeningRun, query: Query, entry: SanctionsEntry, listed_name: str) -> str:
    """The same person of ours against the same facts of theirs, across versions of the list."""
    facts = (
        run.sanctions_list.kind,
        str(entry.number),
        normalise(listed_name),
        ",".join(sorted(entry.birth_dates)),
        query.who,
        "|".join(sorted(normalise(name) for name in query.names)),
        str(query.birth_date),
    )
    return hashlib.sha256("\x1f".join(facts).encode()).hexdigest()


def _wallet_hits(run: ScreeningRun) -> list[ScreeningHit]:
    """Wallets of the person that stand on the list as digital currency addresses."""
    ours = Wallet.objects.filter(user__applications=run.application_id).values_list("address", flat=True)
    listed = SanctionsWallet.objects.filter(
        entry__sanctions_list=run.sanctions_list_id, address_key__in=[ofac.address_key(address) for address in ours]
    ).select_related("entry")
    return [
        ScreeningHit(
            run=run,
            application_id=run.application_id,
            entry=wallet.entry,
            who=ScreeningHit.Who.WALLET,
            subject_name=wallet.address,
            listed_name=wallet.entry.name,
            score=100,
            explanation={"address": wallet.address, "currency": wallet.currency},
            fingerprint=hashlib.sha256(f"{wallet.entry.number}\x1f{wallet.address_key}".encode()).hexdigest(),
        )
        for wallet in listed
    ]


def _store_hits(run: ScreeningRun, hits: list[ScreeningHit]) -> None:
    unique = {hit.fingerprint: hit for hit in hits}
    cleared = ScreeningHit.objects.filter(
        application=run.application_id, fingerprint__in=unique, state=ScreeningHit.State.CLEARED
    ).order_by("id")
    for before in cleared:
        unique[before.fingerprint].carried_from = before.carried_from or before
        unique[before.fingerprint].state = ScreeningHit.State.CLEARED
    ScreeningHit.objects.bulk_create(unique.values())


def settle(application: Application) -> None:
    """Bring the locked application in line with its runs and hits; an undecided hit stops what it must stop."""
    current = set(SanctionsList.objects.filter(is_current=True).values_list("pk", flat=True))
    done = set(
        application.screening_runs.filter(round=application.round, state=ScreeningRun.State.DONE).values_list(
            "sanctions_list_id", flat=True
        )
    )
    open_hits = application.hits.filter(run__round=application.round, state__in=ScreeningHit.UNDECIDED).count()
    if open_hits:
        _take_approval_back(application)
    application.open_hits = open_hits
    if application.state not in _APPROVED:
        application.screening_ready = bool(current) and current <= done
    application.save(update_fields=["open_hits", "screening_ready", "changed_at"])
    if open_hits and application.state in (State.ACTIVE, State.PENDING, State.EXPIRED):
        _suspend_for_hit(application)


State = Application.State
_APPROVED = (State.APPROVED_FIRST, State.APPROVED, State.ATTESTED)


def _take_approval_back(application: Application) -> None:
    """An approval given before the hit was known does not stand: → in_review."""
    if application.state not in _APPROVED:
        return
    reason = "a sanctions hit came up after the approval"
    application.decisions.update(is_standing=False)
    if application.state == State.ATTESTED:
        move(application, State.APPROVED, actor="screening", action="kyc.attestation.withdrawn", reason=reason)
    if application.state in (State.APPROVED, State.APPROVED_FIRST):
        application.assigned_to = None
        move(
            application,
            State.IN_REVIEW,
            actor="screening",
            action="kyc.approval.withdrawn",
            reason=reason,
            fields=["assigned_to"],
        )


def _suspend_for_hit(application: Application) -> None:
    from kyc.services.lifecycle import rests, suspend_for_screening

    if not rests(application):
        suspend_for_screening(application=application)


def suspend_flagged() -> int:
    """Suspend everybody on chain with an undecided hit who could not be suspended when it came up. Number suspended."""
    flagged = Application.objects.filter(open_hits__gt=0, state__in=[State.ACTIVE, State.PENDING, State.EXPIRED])
    count = 0
    for pk in list(flagged.values_list("pk", flat=True)):
        with transaction.atomic():
            application = locked(pk)
            try:
                with transaction.atomic():
                    settle(application)
                count += application.state == State.SUSPENDING
            except DomainError as error:
                logger.warning("application %s not suspended yet: %s", pk, error.code)
    return count


def require_screened(application: Application) -> None:
    """Pass if every current list was searched for these answers and no hit is open or confirmed."""
    unfinished = application.screening_runs.filter(round=application.round).exclude(state=ScreeningRun.State.DONE)
    settled = SanctionsList.objects.filter(is_current=True).exclude(
        runs__application=application, runs__round=application.round, runs__state=ScreeningRun.State.DONE
    )
    if unfinished.exists() or settled.exists() or not SanctionsList.objects.filter(is_current=True).exists():
        raise ScreeningUndecided(
            _("The screening is not finished. Nothing was decided. Wait for it, or run it again."),
            code="kyc.screening.pending",
        )
    hits = application.hits.filter(run__round=application.round)
    if hits.filter(state__in=ScreeningHit.UNDECIDED).exists():
        raise ScreeningUndecided(
            _("A screening hit is undecided. Nothing was decided. Two officers have to decide every hit first."),
            code="kyc.screening.undecided",
        )
    if hits.filter(state=ScreeningHit.State.CONFIRMED).exists():
        raise ScreeningUndecided(
            _("A screening hit was confirmed as the same person. This application can only be rejected."),
            code="kyc.screening.confirmed",
        )


# --- four eyes -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def propose_disposition(*, hit_id: int, officer: User, verdict: str, reason: str) -> ScreeningHit:
    """open → proposed: the first officer says what the hit is (`cleared` or `confirmed`) and why."""
    hit = _locked_hit(hit_id)
    require_officer(officer, hit.application)
    if verdict not in (ScreeningHit.State.CLEARED, ScreeningHit.State.CONFIRMED) or not reason.strip():
        raise DomainError(_("Say what the hit is, and why."), code="kyc.hit.reason")
    hit.proposed, hit.proposed_by, hit.proposed_reason = verdict, officer, reason.strip()
    hit.proposed_at = timezone.now()
    _move_hit(
        hit,
        ScreeningHit.State.PROPOSED,
        officer=officer,
        action="kyc.hit.proposed",
        reason=reason,
        fields=["proposed", "proposed_by", "proposed_reason", "proposed_at"],
    )
    return hit


@transaction.atomic
def decide_hit(*, hit_id: int, officer: User, agrees: bool, reason: str) -> ScreeningHit:
    """proposed → what was proposed, by a second officer; or back to open if they disagree.

    Raises NotYourCase for the officer who proposed it.
    """
    hit = _locked_hit(hit_id)
    require_officer(officer, hit.application)
    if hit.proposed_by_id == officer.pk:
        raise NotYourCase(
            _("You made this proposal. A second officer has to decide. Nothing was changed."),
            code="kyc.hit.same_officer",
        )
    if not reason.strip():
        raise DomainError(_("Give a reason."), code="kyc.hit.reason")
    if agrees:
        hit.decided_by, hit.decided_reason, hit.decided_at = officer, reason.strip(), timezone.now()
        target, fields = hit.proposed, ["decided_by", "decided_reason", "decided_at"]
    else:
        hit.proposed, hit.proposed_by, hit.proposed_reason, hit.proposed_at = "", None, "", None
        target, fields = ScreeningHit.State.OPEN, ["proposed", "proposed_by", "proposed_reason", "proposed_at"]
    _move_hit(hit, target, officer=officer, action="kyc.hit.decided", reason=reason, fields=fields)
    return hit


def _locked_hit(hit_id: int) -> ScreeningHit:
    application_id = ScreeningHit.objects.values_list("application_id", flat=True).get(pk=hit_id)
    application = locked(application_id)
    hit = ScreeningHit.objects.select_for_update().get(pk=hit_id)
    hit.application = application
    return hit


def _move_hit(hit: ScreeningHit, target: str, *, officer: User, action: str, reason: str, fields: list[str]) -> None:
    source = hit.state
    require_transition(ScreeningHit.TRANSITIONS, current=source, target=target, code="kyc.hit.wrong_state")
    hit.state = target
    hit.save(update_fields=["state", *fields])
    settle(hit.application)
    audit.record(
        action=action,
        subject_type="kyc.hit",
        subject_id=hit.pk,
        actor=officer,
        from_state=source,
        to_state=target,
        reason=reason,
        data={"application": hit.application_id, "entry": hit.entry_id, "score": hit.score},
    )
