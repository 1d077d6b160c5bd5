"""Raising alarms: from every indexed event, and from mismatches the engine found.

The sweep reads the stored events once each, in batches, whatever else failed meanwhile: a watcher that is told by a
handler loses what it was told when it fails; one that reads a table comes back to it. Events of blocks that were rolled
back are judged too: somebody tried.

What somebody did with a key of ours without us is known by its transaction: the outbox stores the hash of every
attempt before it is sent, so a hash that is not there is not ours. One that is there is ours only if the app in whose
name it stands asked for it (`chain.services.judging`): somebody may have written it there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chain.desk.models import Alarm, AlarmEvidence, AlarmRule, ResponseStep, Watch
from chain.governance import safe as safes
from chain.models import (
    ChainTransaction,
    Contract,
    EventLog,
    Holding,
    Incident,
    Movement,
    SafeProposal,
    SafeSignature,
    Signer,
)
from chain.registry import IssueSeen, desk
from chain.services import judging, outbox
from chain.services.incidents import ENGINE
from chain.services.projections import ZERO_ADDRESS, transfer_of
from chain.services.response import ResponseRefused, _freeze, _suspend, require_duty_officer, tokens_of
from chain.services.sweeps import set_apart, sweep
from chain.services.telling import tell_officers
from chain.types import SignerRole
from portal import audit
from portal.models import AuditEntry, User
from portal.state import require_transition

Kind, Severity, State = Alarm.Kind, Alarm.Severity, Alarm.State
#: Events judged in one database transaction.
BATCH: Final = 2_000

#: Transactions of ours that set up contracts: what they say about roles and delays is nobody's surprise.
SETUP_PURPOSES: Final = frozenset({"chain.deploy", "tokens.deploy_security", "tokens.configure_security"})
_POWER: Final = frozenset(
    {
        "RoleGranted", "RoleRevoked", "RoleAdminChanged", "RoleGuardianChanged", "RoleGrantDelayChanged",
        "TargetAdminDelayUpdated", "TargetClosed", "TargetFunctionRoleUpdated", "ActivationDelaySet",
        "IssuanceLimitSet", "AttestorCodeAllowed", "LimitsSet", "AuthorisedAmountRaised",
        # of the vault
        "SaleAddressAnnounced", "SaleAddressChanged", "VaultLimitsSet",
        # of the timelock and the Safes that administer the manager
        "MinDelayChange", "AddedOwner", "RemovedOwner", "ChangedThreshold", "EnabledModule", "ChangedGuard",
    }
)  # fmt: skip
#: What only a key with a role can do → that role, and how urgent it is if we did not do it. What the council does is
#: not here: its officers may bring a decision to the chain themselves.
_ACTS: Final = {
    "Admitted": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "Dismissed": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "Frozen": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "Redeemed": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "RecoveryAnnounced": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "TransferFreezeSet": (SignerRole.TOKEN_AGENT, Severity.ACT),
    "ForcedTransfer": (SignerRole.TOKEN_CONTROLLER, Severity.ACT),
    "Burned": (SignerRole.TOKEN_CONTROLLER, Severity.ACT),
    "RedemptionReversed": (SignerRole.TOKEN_CONTROLLER, Severity.ACT),
    "Paused": (SignerRole.TOKEN_GUARDIAN, Severity.LOOK),
    "SbtSuspended": (SignerRole.SBT_GUARDIAN, Severity.LOOK),
    "KeyDistrusted": (SignerRole.SBT_GUARDIAN, Severity.LOOK),
    "IssuancePaused": (SignerRole.SBT_GUARDIAN, Severity.LOOK),
    "SbtRevoked": (SignerRole.SBT_ISSUER, Severity.ACT),
}
#: The same for the vault. Opening, paying in and putting in force what was announced are anybody's.
_VAULT_ACTS: Final = {
    "ReleaseProposed": (SignerRole.COLLATERAL_AGENT, Severity.ACT),
    "Released": (SignerRole.COLLATERAL_AGENT, Severity.ACT),
    "Sold": (SignerRole.COLLATERAL_AGENT, Severity.ACT),
    "SaleRecorded": (SignerRole.SALE_RECORDER, Severity.ACT),
    "BorrowerChangeAnnounced": (SignerRole.TOKEN_CONTROLLER, Severity.ACT),
    "ReleaseCancelled": (SignerRole.TOKEN_GUARDIAN, Severity.LOOK),
    "SaleCancelled": (SignerRole.TOKEN_GUARDIAN, Severity.LOOK),
    "Paused": (SignerRole.TOKEN_GUARDIAN, Severity.LOOK),
}
#: These move units by a role, not by their holder; their Transfer is not the holder's habit, nor judged twice.
_BY_ROLE: Final = frozenset({"ForcedTransfer", "RecoveryCompleted", "Redeemed", "Burned"})
#: Freezes come with other acts of the controller.
_COMPANIONS: Final = frozenset({"Frozen", "Admitted", "Dismissed"})


def current_rule(day: datetime | None = None) -> AlarmRule:
    """The rule in force: the newest whose day has come; the defaults of the model where nobody entered one."""
    on = timezone.localdate(day or timezone.now())
    return AlarmRule.objects.filter(effective_from__lte=on).order_by("-effective_from").first() or AlarmRule()


@transaction.atomic
def add_alarm_rule(
    *, effective_from: date, source: str, figures: Mapping[str, int], actor: User | str = ENGINE
) -> AlarmRule:
    """A new rule from `effective_from` on; what `figures` leaves out stays as in the rule in force on that day.

    Raises `ResponseRefused` for a day that has a rule already, or a figure that is zero or less.
    """
    if any(value <= 0 for value in figures.values()):
        raise ResponseRefused(_("Every figure must be above zero. Nothing was changed."), code="chain.rule.figure")
    if AlarmRule.objects.filter(effective_from=effective_from).exists():
        raise ResponseRefused(_("That day has a rule already. Nothing was changed."), code="chain.rule.day_taken")
    before = AlarmRule.objects.filter(effective_from__lt=effective_from).order_by("-effective_from").first()
    rule = before or AlarmRule()
    rule.pk, rule.effective_from, rule.source = None, effective_from, source
    for name, value in figures.items():
        setattr(rule, name, value)
    rule.save(force_insert=True)
    audit.record(
        action="chain.alarm_rule.added",
        subject_type="chain.alarm_rule",
        subject_id=rule.pk,
        actor=actor,
        reason=source,
        data={"from": effective_from.isoformat(), **figures},
    )
    return rule


# --- raising ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was seen: which alarm it belongs to, and the evidence."""

    kind: str
    severity: int
    cause: str
    evidence_key: str
    at: datetime
    key: str = ""
    holder: str = ""
    token: str = ""
    log: EventLog | None = None
    contract: str = ""
    args: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def raise_alarm(sign: Sign, *, actor: User | str = ENGINE) -> Alarm | None:
    """Open an alarm for `sign`, or add it to the one open for the same cause; None if this evidence was seen before."""
    if AlarmEvidence.objects.filter(key=sign.evidence_key[:160]).exists():
        return None
    alarm, is_new = _open_alarm(sign)
    AlarmEvidence.objects.create(
        alarm=alarm,
        key=sign.evidence_key[:160],
        event=sign.log.event if sign.log else "",
        kind=sign.contract,
        args=sign.log.args if sign.log else sign.args,
        transaction_hash=sign.log.transaction_hash if sign.log else "",
        block_number=sign.log.block_number if sign.log else None,
        at=sign.at,
    )
    if is_new:
        audit.record(
            action="chain.alarm.opened",
            subject_type="chain.alarm",
            subject_id=alarm.pk,
            actor=actor,
            to_state=alarm.state,
            reason=alarm.kind,
            data={"key": alarm.key, "holder": alarm.holder, "token": alarm.token},
        )
    return alarm


def _open_alarm(sign: Sign) -> tuple[Alarm, bool]:
    rows = Alarm.objects.select_for_update().exclude(state=State.CLOSED)
    alarm = rows.filter(chain_id=settings.CHAIN_ID, cause=sign.cause).first()
    if alarm is None:
        return Alarm.objects.create(
            chain_id=settings.CHAIN_ID,
            kind=sign.kind,
            severity=sign.severity,
            cause=sign.cause,
            key=sign.key,
            holder=sign.holder,
            token=sign.token,
            since=sign.at,
        ), True
    alarm.severity = max(alarm.severity, sign.severity)
    alarm.since = min(alarm.since, sign.at)
    alarm.key, alarm.holder = alarm.key or sign.key, alarm.holder or sign.holder
    if alarm.token != sign.token:
        alarm.token = "" if alarm.token and sign.token else alarm.token or sign.token
    alarm.save(update_fields=["severity", "since", "key", "holder", "token"])
    return alarm, False


@transaction.atomic
def close_alarm(*, alarm_id: int, actor: User, conclusion: str) -> Alarm:
    """OPEN or CONTAINED → CLOSED, with what came of it. Raises `WrongState` for one that is closed."""
    require_duty_officer(actor)
    if not conclusion.strip():
        raise ResponseRefused(
            _("Say what came of it. It becomes part of the record."), code="chain.alarm.conclusion_missing"
        )
    alarm = Alarm.objects.select_for_update().get(pk=alarm_id)
    require_transition(Alarm.TRANSITIONS, current=alarm.state, target=State.CLOSED, code="chain.alarm.wrong_state")
    before, alarm.state = alarm.state, State.CLOSED
    alarm.closed_at, alarm.closed_by, alarm.conclusion = timezone.now(), actor, conclusion.strip()[:300]
    alarm.save(update_fields=["state", "closed_at", "closed_by", "conclusion"])
    audit.record(
        action="chain.alarm.closed",
        subject_type="chain.alarm",
        subject_id=alarm.pk,
        actor=actor,
        from_state=before,
        to_state=alarm.state,
        reason=alarm.conclusion,
    )
    return alarm


@transaction.atomic
def report_stolen_key(*, holder: str, actor: User) -> Alarm:
    """A holder says that the key of their own address is stolen: suspend it and freeze every holding, at once.

    The caller has checked that `holder` is an address of `actor`. Doing it again changes nothing.
    """
    now = timezone.now()
    sign = Sign(
        Kind.KEY_REPORTED, Severity.ACT, _key_cause(holder), f"reported:{holder}:{now.isoformat()}", now,
        key=holder, holder=holder,
    )  # fmt: skip
    known = Alarm.objects.exclude(state=State.CLOSED).filter(cause=sign.cause, evidence__key__startswith="reported:")
    alarm = known.first() or raise_alarm(sign, actor=actor)
    if alarm is None:
        raise ValueError("a report is always new evidence")
    reason = "reported by the holder"
    taken = set(
        ResponseStep.objects.filter(alarm=alarm, target=holder)
        .exclude(state=ResponseStep.State.FAILED)
        .values_list("kind", "token")
    )
    if (ResponseStep.Kind.SUSPEND, "") not in taken:
        _suspend(holder=holder, actor=actor, reason=reason, alarm=alarm)
    for token in tokens_of(holder):
        if (ResponseStep.Kind.FREEZE, token) not in taken:
            _freeze(holder=holder, actor=actor, reason=reason, token=token, alarm=alarm)
    return alarm


def _key_cause(address: str) -> str:
    """Everything done with one stolen key is one cause, whichever sign of it comes first."""
    return f"key:{address}"


# --- the sweep ---------------------------------------------------------------------------------------------


@sweep("alarms")
def run_alarm_sweep() -> None:
    """Judge what was signed unjudged, every event indexed since the last run, then the engine's own findings."""
    with set_apart("the watch over the outbox"):
        watch_outbox()
    with set_apart("the watch for alarms"):
        while watch_events() == BATCH:
            pass
        watch_incidents()
    with set_apart("telling the officers"):
        tell_officers()


@transaction.atomic
def watch_events() -> int:
    """Judge the next batch of events; how many there were. A batch and the mark behind it are one transaction."""
    watch, _new = Watch.objects.select_for_update().get_or_create(chain_id=settings.CHAIN_ID)
    rows = EventLog.objects.filter(chain_id=settings.CHAIN_ID, pk__gt=watch.last_log_id)
    logs = list(rows.select_related("block").order_by("pk")[:BATCH])
    if not logs:
        return 0
    for sign in signs_in(logs):
        raise_alarm(sign)
    watch.last_log_id = logs[-1].pk
    watch.save(update_fields=["last_log_id"])
    return len(logs)


@transaction.atomic
def start_watching_here() -> None:
    """Take everything indexed so far as seen: for a chain whose set-up was not recorded in this database."""
    newest = EventLog.objects.filter(chain_id=settings.CHAIN_ID).order_by("-pk").values_list("pk", flat=True).first()
    Watch.objects.update_or_create(chain_id=settings.CHAIN_ID, defaults={"last_log_id": newest or 0})


@transaction.atomic
def watch_outbox() -> None:
    """Judge what reached a nonce, or waits for officers, without the submitter having judged it: before it is mined."""
    rows = ChainTransaction.objects.filter(
        Q(nonce__isnull=False) | Q(is_held=True), signer__chain_id=settings.CHAIN_ID, verdict="", is_settled=False
    )
    found = list(rows.select_for_update(of=("self",), skip_locked=True).select_related("signer").order_by("pk")[:BATCH])
    if not found:
        return
    verdicts = judging.judge(found)
    for verdict in judging.Verdict.ASKED, judging.Verdict.UNASKED:
        judged = [row for row in found if verdicts.get(row.pk) == verdict]
        ChainTransaction.objects.filter(pk__in=[row.pk for row in judged]).update(verdict=verdict)
        for row in judged:
            if verdict == judging.Verdict.UNASKED:
                raise_alarm(_unasked(row))


def refuse_unasked(row: ChainTransaction) -> None:
    """QUEUED → REFUSED for what nobody asked for, with its alarm, in one database transaction. Again: no change."""
    wanted = judging.identity(row)

    def refuse(locked: ChainTransaction) -> None:
        if locked.state != ChainTransaction.State.QUEUED or judging.identity(locked) != wanted:
            return
        locked.verdict = judging.Verdict.UNASKED
        locked.save(update_fields=["verdict"])
        raise_alarm(_unasked(locked))
        outbox.refuse(locked, reason=judging.NOBODY_ASKED)

    outbox.change_row(row.pk, refuse)


def _unasked(row: ChainTransaction) -> Sign:
    contract = Contract.objects.filter(chain_id=settings.CHAIN_ID, address=row.to or "").first()
    kind = contract.kind if contract else ""
    return Sign(
        Kind.UNASKED,
        Severity.ACT,
        _key_cause(row.signer.address),
        f"unasked:{row.pk}",
        timezone.now(),
        key=row.signer.address,
        token=row.to or "" if kind == Contract.Kind.SECURITY_TOKEN else "",
        contract=kind,
        args={"what": "unasked", "function": row.function, "purpose": row.purpose, "transaction": row.pk},
    )


_INCIDENTS: Final = {
    "chain.signer_halted": Kind.KEY_USED_ELSEWHERE,
    "chain.ledger_differs": Kind.LEDGER_DIFFERS,
}


def watch_incidents() -> None:
    """Raise an alarm for every open incident that means a stolen key or a ledger that is wrong."""
    for incident in Incident.objects.filter(closed_at=None, kind__in=_INCIDENTS).order_by("pk"):
        address = _signer_address(incident)
        times = AuditEntry.objects.filter(
            action="chain.incident.opened", subject_type="chain.incident", subject_id=str(incident.pk)
        ).count()
        raise_alarm(
            Sign(
                _INCIDENTS[incident.kind],
                Severity.ACT,
                _key_cause(address) if address else f"incident:{incident.dedupe_key}",
                f"incident:{incident.pk}:{times}",
                incident.opened_at,
                key=address,
                args={"detail": incident.detail},
            )
        )


def _signer_address(incident: Incident) -> str:
    if incident.kind != "chain.signer_halted":
        return ""
    return Signer.objects.filter(pk=incident.data["signer"]).values_list("address", flat=True).first() or ""


# --- judging -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What judging a batch needs to know, read once."""

    kinds: dict[str, str]
    purposes: Mapping[str, str]  # transaction hash → purpose, of transactions of ours that somebody here asked for
    unasked: Sequence[ChainTransaction]  # that the outbox sent and nobody asked for
    custody: frozenset[str]
    signers: dict[str, str]  # role → address
    events_of: dict[str, set[str]]  # transaction hash → event names
    proposed: frozenset[str]  # digests that officers were asked to sign

    def is_ours(self, log: EventLog) -> bool:
        return log.transaction_hash in self.purposes

    def is_by_role(self, log: EventLog) -> bool:
        return bool(self.events_of[log.transaction_hash] & _BY_ROLE)


def signs_in(logs: Sequence[EventLog]) -> list[Sign]:
    """What in `logs` calls for a person. A constant number of queries, but for one by what nobody asked for."""
    around = _surroundings(logs)
    found = [_unasked(row) for row in around.unasked]
    for log in logs:
        kind = around.kinds.get(log.address, "")
        if kind == Contract.Kind.INVESTOR_SBT:
            found += _of_verification(log, around)
        elif kind == Contract.Kind.SECURITY_TOKEN:
            found += _of_security(log, around)
        elif kind == Contract.Kind.COLLATERAL_VAULT:
            found += _of_vault(log, around)
        elif kind == Contract.Kind.ACCESS_MANAGER:
            found += _of_manager(log, around)
        elif kind in safes.OWNER_ROLES and log.event == "ApproveHash":
            found += _of_safe(log, around, kind)
        elif log.event == "CallScheduled" and not around.is_ours(log):
            cause = f"timelock:{log.args['id']}"
            found.append(_sign(log, Kind.FOREIGN_SCHEDULE, Severity.ACT, cause, kind, key=log.address))
        if log.event in _POWER:
            found += _of_power(log, around, kind)
    rule = current_rule()
    return [*found, *_bursts(logs, around, rule), *_velocities(logs, around, rule)]


def _surroundings(logs: Sequence[EventLog]) -> _Surroundings:
    sent = judging.sent_by_us(log.transaction_hash for log in logs)
    senders = {log.args["from"] for log in logs if log.event == "Transfer" and "value" in log.args}
    active = Signer.objects.filter(chain_id=settings.CHAIN_ID, state=Signer.State.ACTIVE)
    platform = active.exclude(role__in=["custody", "attestor"])
    custody = Signer.objects.filter(chain_id=settings.CHAIN_ID, role=SignerRole.CUSTODY, address__in=senders)
    events: defaultdict[str, set[str]] = defaultdict(set)
    for log in logs:
        events[log.transaction_hash].add(log.event)
    return _Surroundings(
        kinds=dict(Contract.objects.filter(chain_id=settings.CHAIN_ID).values_list("address", "kind")),
        purposes=sent.purposes,
        unasked=sent.unasked,
        custody=frozenset(custody.values_list("address", flat=True)),
        signers=dict(platform.order_by("pk").values_list("role", "address")),
        events_of=events,
        proposed=_proposed([log for log in logs if log.event == "ApproveHash"]),
    )


def _proposed(approvals: Sequence[EventLog]) -> frozenset[str]:
    """Which digests may be approved on the chain: those of open proposals, and those that an officer signed here."""
    if not approvals:
        return frozenset()
    hashes = [log.args["approvedHash"] for log in approvals]
    signed = SafeSignature.objects.filter(digest__in=hashes).values_list("digest", flat=True)
    waiting = SafeProposal.objects.filter(safe__address__in={log.address for log in approvals}, nonce__isnull=False)
    return frozenset(
        {*signed, *map(safes.digest, waiting.exclude(state__in=SafeProposal.ENDED).select_related("safe"))}
    )


def _evidence_key(log: EventLog, *more: str) -> str:
    """The same event counts once, in whichever block it ends up: its transaction, name and place among equals."""
    subject = (
        log.args.get("holder") or log.args.get("operationId") or log.args.get("account") or log.args.get("to") or ""
    )
    return ":".join(["log", log.transaction_hash, log.event, str(subject), *more])


def _sign(log: EventLog, kind: str, severity: int, cause: str, contract: str, **concerned: Any) -> Sign:
    return Sign(
        kind, severity, cause, _evidence_key(log, kind), log.block.at, log=log, contract=contract, **concerned
    )  # fmt: skip


def _of_verification(log: EventLog, around: _Surroundings) -> Iterable[Sign]:
    kind = Contract.Kind.INVESTOR_SBT.value
    if log.event not in ("SbtIssued", "SbtRenewed"):
        yield from _foreign_act(log, around, kind)
        return
    args = log.args
    seen = IssueSeen(args["holder"], args["subject"], args["attestor"], args["evidenceHash"])
    who = {"key": args["issuer"], "holder": args["holder"]}
    if not around.is_ours(log):
        fault = Kind.FOREIGN_ISSUE if desk.is_expected(seen) else Kind.UNAPPROVED_ISSUE
        yield _sign(log, fault, Severity.ACT, _key_cause(args["issuer"]), kind, **who)
    elif not desk.is_expected(seen):
        yield _sign(log, Kind.UNAPPROVED_ISSUE, Severity.ACT, f"unapproved:{args['issuer']}", kind, **who)


def _of_security(log: EventLog, around: _Surroundings) -> Iterable[Sign]:
    kind = Contract.Kind.SECURITY_TOKEN.value
    if log.event != "Transfer":
        yield from _foreign_act(log, around, kind)
        return
    sender, recipient, _units = transfer_of(log.args)
    if around.is_ours(log) or around.is_by_role(log):
        return
    if sender == ZERO_ADDRESS:
        key = around.signers.get(SignerRole.TOKEN_AGENT, "")
        cause = _key_cause(key or SignerRole.TOKEN_AGENT)
        yield _sign(log, Kind.FOREIGN_ACT, Severity.ACT, cause, kind, key=key, holder=recipient, token=log.address)
    elif sender in around.custody:
        cause = _key_cause(sender)
        yield _sign(log, Kind.CUSTODY_OUTFLOW, Severity.ACT, cause, kind, key=sender, holder=sender, token=log.address)


def _foreign_act(log: EventLog, around: _Surroundings, kind: str) -> Iterable[Sign]:
    if log.event not in _ACTS or around.is_ours(log):
        return
    if log.event in _COMPANIONS and around.is_by_role(log):
        return
    role, severity = _ACTS[log.event]
    key = around.signers.get(role, "")
    holder = log.args.get("holder") or log.args.get("account") or log.args.get("lost") or log.args.get("from") or ""
    token = log.address if kind == Contract.Kind.SECURITY_TOKEN else ""
    # `Paused` and its like name who did it, which is not a holder.
    holder = "" if severity == Severity.LOOK and log.event != "SbtSuspended" else holder
    yield _sign(log, Kind.FOREIGN_ACT, severity, _key_cause(key or role), kind, key=key, holder=holder, token=token)


def _of_vault(log: EventLog, around: _Surroundings) -> Iterable[Sign]:
    if log.event not in _VAULT_ACTS or around.is_ours(log):
        return
    role, severity = _VAULT_ACTS[log.event]
    key = around.signers.get(role, "")
    subject = log.args.get("releaseId") or log.args.get("saleId") or log.args.get("account") or ""
    sign = _sign(
        log, Kind.FOREIGN_ACT, severity, _key_cause(key or role), Contract.Kind.COLLATERAL_VAULT.value, key=key
    )
    yield Sign(**{**_fields(sign), "evidence_key": f"log:{log.transaction_hash}:{log.event}:{subject[-40:]}"})


def _of_manager(log: EventLog, around: _Surroundings) -> Iterable[Sign]:
    if log.event != "OperationScheduled" or around.is_ours(log):
        return
    caller, target = log.args["caller"], log.args["target"]
    token = target if around.kinds.get(target) == Contract.Kind.SECURITY_TOKEN else ""
    kind = Contract.Kind.ACCESS_MANAGER.value
    yield _sign(log, Kind.FOREIGN_SCHEDULE, Severity.ACT, _key_cause(caller), kind, key=caller, token=token)


def _of_safe(log: EventLog, around: _Surroundings, kind: str) -> Iterable[Sign]:
    """An officer approved something on the chain itself that nobody proposed here. It moves nothing without the others."""
    approved, owner = log.args["approvedHash"], log.args["owner"]
    if approved in around.proposed:
        return
    sign = _sign(log, Kind.FOREIGN_ACT, Severity.ACT, _key_cause(owner), kind, key=owner)
    yield Sign(**{**_fields(sign), "evidence_key": f"log:{log.transaction_hash}:{log.event}:{approved}"})


def _of_power(log: EventLog, around: _Surroundings, kind: str) -> Iterable[Sign]:
    purpose = around.purposes.get(log.transaction_hash)
    if purpose in SETUP_PURPOSES:
        return
    severity = Severity.ACT if purpose is None else Severity.LOOK
    token = log.address if kind == Contract.Kind.SECURITY_TOKEN else ""
    key = log.args.get("account", "") if log.event == "RoleGranted" else ""
    selector = str(log.args.get("selector", log.args.get("roleId", "")))
    sign = _sign(log, Kind.POWER_CHANGED, severity, f"power:{log.transaction_hash}", kind, key=key, token=token)
    yield Sign(**{**_fields(sign), "evidence_key": _evidence_key(log, Kind.POWER_CHANGED, selector)})


def _fields(sign: Sign) -> dict[str, Any]:
    return {name: getattr(sign, name) for name in Sign.__slots__}


# --- too much -----------------------------------------------------------------------------------------------------


def _bursts(logs: Sequence[EventLog], around: _Surroundings, rule: AlarmRule) -> Iterable[Sign]:
    """Admissions or credits of new units of one security above the rule within its window."""
    of_token = [log for log in logs if around.kinds.get(log.address) == Contract.Kind.SECURITY_TOKEN]
    counted = {
        "admissions": [log for log in of_token if log.event == "Admitted"],
        "mints": [log for log in of_token if log.event == "Transfer" and log.args["from"] == ZERO_ADDRESS],
    }
    limits = {"admissions": rule.burst_admissions, "mints": rule.burst_mints}
    for what, seen in counted.items():
        newest = {log.address: log for log in seen}
        counts = _counts(what, newest, rule.burst_window)
        for token, log in newest.items():
            if counts[token] > limits[what]:
                args = {"what": what, "count": counts[token], "minutes": rule.burst_minutes}
                key = f"burst:{what}:{token}:{log.block_number}:{log.transaction_hash}"
                yield Sign(
                    Kind.BURST, Severity.LOOK, f"burst:{token}", key, log.block.at, token=token, args=args
                )  # fmt: skip


def _counts(what: str, newest: dict[str, EventLog], window: timedelta) -> Counter[str]:
    """How often it happened on each token in the window that ends with its newest event. One query."""
    wanted = Q(pk__in=[])
    for token, log in newest.items():
        if what == "admissions":
            at = {"block__at__gt": log.block.at - window, "block__at__lte": log.block.at}
            wanted |= Q(address=token, event="Admitted", canonical=True, **at)
        else:
            at = {"at__gt": log.block.at - window, "at__lte": log.block.at}
            wanted |= Q(token=token, sender=ZERO_ADDRESS, **at)
    if not newest:
        return Counter()
    if what == "admissions":
        return Counter(EventLog.objects.filter(wanted, chain_id=settings.CHAIN_ID).values_list("address", flat=True))
    return Counter(Movement.objects.filter(wanted, chain_id=settings.CHAIN_ID).values_list("token", flat=True))


def _velocities(logs: Sequence[EventLog], around: _Surroundings, rule: AlarmRule) -> Iterable[Sign]:
    """Holders who moved out more than their habit allows.

    Within the window a holder moved out at least `velocity_share_bps` of what passed through their hands, and more than
    `velocity_factor` times the most they moved in any window of that length in the `velocity_habit_days` before.
    """
    newest: dict[tuple[str, str], EventLog] = {}
    for log in logs:
        if _is_passed_on(log, around):
            newest[log.address, log.args["from"]] = log
    if not newest:
        return
    outgoing = _outgoing(newest, rule)
    held = _held(newest)
    for (token, holder), log in newest.items():
        moved, habit = _moved_and_habit(outgoing[token, holder], log.block.at, rule.velocity_window)
        passed = held.get((token, holder), 0) + moved
        if moved * 10_000 >= rule.velocity_share_bps * passed and moved > rule.velocity_factor * habit:
            cause, key = f"velocity:{holder}", _evidence_key(log, Kind.VELOCITY, holder)
            yield Sign(
                Kind.VELOCITY, Severity.LOOK, cause, key, log.block.at,
                holder=holder, token=token, log=log, contract=Contract.Kind.SECURITY_TOKEN.value,
            )  # fmt: skip


def _is_passed_on(log: EventLog, around: _Surroundings) -> bool:
    """Whether a holder moved units to another one, and that is not an alarm of its own already."""
    if around.kinds.get(log.address) != Contract.Kind.SECURITY_TOKEN or log.event != "Transfer":
        return False
    sender, recipient, _units = transfer_of(log.args)
    is_outflow = sender in around.custody and not around.is_ours(log)
    return ZERO_ADDRESS not in (sender, recipient) and not around.is_by_role(log) and not is_outflow


def _outgoing(
    newest: dict[tuple[str, str], EventLog], rule: AlarmRule
) -> dict[tuple[str, str], list[tuple[datetime, int]]]:
    """(when, units) of what these holders sent, as far back as the habit reaches. One query."""
    oldest = min(log.block.at for log in newest.values()) - timedelta(days=rule.velocity_habit_days)
    rows = Movement.objects.filter(
        chain_id=settings.CHAIN_ID,
        token__in={token for token, _holder in newest},
        sender__in={holder for _token, holder in newest},
        at__gt=oldest,
    ).exclude(recipient=ZERO_ADDRESS)
    found: defaultdict[tuple[str, str], list[tuple[datetime, int]]] = defaultdict(list)
    for token, holder, at, units in rows.values_list("token", "sender", "at", "units"):
        found[token, holder].append((at, int(units)))
    return found


def _held(keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    rows = Holding.objects.filter(
        chain_id=settings.CHAIN_ID, token__in={token for token, _ in keys}, holder__in={holder for _, holder in keys}
    )
    return {(token, holder): int(units) for token, holder, units in rows.values_list("token", "holder", "units")}


def _moved_and_habit(moves: Iterable[tuple[datetime, int]], at: datetime, window: timedelta) -> tuple[int, int]:
    """Units moved in the window that ends at `at`, and the most in any earlier window, counted back from it."""
    moved, earlier = 0, Counter[int]()
    for when, units in moves:
        if when > at:
            continue
        number = (at - when) // window
        if number == 0:
            moved += units
        else:
            earlier[number] += units
    return moved, max(earlier.values(), default=0)
