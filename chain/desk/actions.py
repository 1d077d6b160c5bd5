"""What can be done about one alarm: offered by what the chain says now, chosen by a person, carried out by the services.

An action is named by a code made here. What a browser sends back is only ever compared with the codes that are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chain.desk.models import Alarm, ResponseStep
from chain.desk.selectors import ScheduledOperation, scheduled_operations
from chain.models import Contract, Distrust, Holding, SbtRecord, Signer, TokenState
from chain.selectors import chain_status, standing_of
from chain.services import collateral, response, rotation
from chain.services.projections import ZERO_ADDRESS
from chain.services.rotation import can_be_replaced
from chain.types import SignerRole, Standing
from portal.exceptions import DomainError
from portal.models import Role, User

Kind = Alarm.Kind
Step = ResponseStep.Kind
#: More than this on one page is no help; what is left is offered once these are done.
_MOST: Final = 12
#: Sound verifications attested again in one go.
REATTEST_BATCH: Final = 20
_KEY_STOLEN: Final = (Kind.CUSTODY_OUTFLOW, Kind.KEY_REPORTED)
_ACT_ON_HOLDERS: Final = (Kind.CUSTODY_OUTFLOW, Kind.VELOCITY, Kind.KEY_REPORTED)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done now. `run(actor, reason)` does it; `roles` may; what it `waits` for is in words."""

    code: str
    label: str
    run: Callable[[User, str], object] = field(compare=False)
    recommended: bool = False
    roles: tuple[Role, ...] = (Role.ADMINISTRATOR, Role.KYC_OFFICER)
    waits: str = ""

    def is_for(self, user: User) -> bool:
        return any(user.has_role(role) for role in self.roles)

    def is_open_to(self, user: User) -> bool:
        """Whether this person can do it now."""
        return not self.waits and self.is_for(user)

    @property
    def who(self) -> str:
        """Whose step it is, where not everybody at the desk may take it."""
        return "" if len(self.roles) > 1 else str(self.roles[0].label)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who and what an alarm concerns, and how all of it stands on the chain as indexed."""

    alarm: Alarm
    victims: list[str]
    suspects: list[str]
    tokens: list[str]
    issuers: list[str]
    sbts: dict[str, SbtRecord]
    holdings: list[Holding]
    states: dict[str, TokenState]
    signers: dict[str, str]  # address → role, of every key of the platform's, replaced ones too
    replaceable: frozenset[str]  # keys in use that hold a role on the chain
    issuer: str  # the key that issues now
    custody: frozenset[str]  # of the people concerned, whose keys we keep
    distrusted: dict[str, datetime]
    operations: list[ScheduledOperation]
    steps: list[ResponseStep]
    moves: list[dict[str, Any]]  # evidence of transfers: token, from, to, value
    issuance_paused: bool
    collateral: list[tuple[str, dict[str, Any]]]  # evidence of the vault: event, arguments; what is over is left out
    is_of_vault: bool  # nothing but the vault is concerned
    collateral_paused: bool

    @property
    def addresses(self) -> list[str]:
        return [*self.victims, *self.suspects]

    @property
    def stolen_wallets(self) -> list[str]:
        """Holders' own keys that seem to be in wrong hands."""
        return [each for each in self.victims if self.alarm.kind in _KEY_STOLEN and each == self.alarm.holder]

    def holding(self, token: str, holder: str) -> Holding | None:
        return next((row for row in self.holdings if (row.token, row.holder) == (token, holder)), None)

    def standing(self, address: str) -> Standing:
        record = self.sbts.get(address)
        return standing_of(record, self.distrusted, timezone.now()) if record else Standing.NONE

    def done(self, kind: str) -> list[ResponseStep]:
        """Steps of this kind that were taken for this alarm and hold or will."""
        failed = ResponseStep.State.FAILED
        return [step for step in self.steps if step.kind == kind and step.state != failed]


def scene_of(alarm: Alarm) -> Scene:
    """Everything the alarm's page needs; a constant number of queries."""
    chain_id = settings.CHAIN_ID
    victims, suspects, issuers, moves = _concerned(alarm)
    keys = list(Signer.objects.filter(chain_id=chain_id).exclude(role="custody"))
    signers = {key.address: key.role for key in keys}
    victims = [each for each in victims if each not in signers]
    suspects = [each for each in suspects if each not in signers and each not in victims]
    holdings = list(
        Holding.objects.filter(chain_id=chain_id, holder__in=[*victims, *suspects]).order_by("token", "-units")
    )
    tokens = _tokens(alarm, holdings, moves)
    return Scene(
        alarm=alarm,
        victims=victims,
        suspects=suspects,
        tokens=tokens,
        issuers=issuers,
        sbts={
            row.address: row
            for row in SbtRecord.objects.filter(chain_id=chain_id, address__in=[*victims, *suspects], revoked=False)
        },
        holdings=holdings,
        states={row.token: row for row in TokenState.objects.filter(chain_id=chain_id, token__in=tokens)},
        signers=signers,
        replaceable=frozenset(key.address for key in keys if can_be_replaced(key)),
        custody=frozenset(
            Signer.objects.filter(chain_id=chain_id, role="custody", address__in=victims).values_list(
                "address", flat=True
            )
        ),
        issuer=next((k.address for k in keys if k.role == SignerRole.SBT_ISSUER and can_be_replaced(k)), ""),
        distrusted=dict(Distrust.objects.filter(chain_id=chain_id).values_list("key", "since")),
        operations=scheduled_operations(at=timezone.now()),
        steps=list(alarm.steps.select_related("requested_by", "transaction").order_by("pk")),
        moves=moves,
        issuance_paused=response.issuance_is_paused(),
        collateral=_open_collateral(alarm),
        is_of_vault={row.kind for row in alarm.evidence.all()} == {Contract.Kind.COLLATERAL_VAULT.value},
        collateral_paused=collateral.collateral_is_paused(),
    )


def _open_collateral(alarm: Alarm) -> list[tuple[str, dict[str, Any]]]:
    """What the alarm saw in the vault, each release and sale once, without those that are over."""
    rows = [row for row in alarm.evidence.all() if row.kind == Contract.Kind.COLLATERAL_VAULT]
    over = collateral.ended("ReleaseProposed", [row.args.get("releaseId", "") for row in rows])
    over |= collateral.ended("SaleRecorded", [row.args.get("saleId", "") for row in rows])
    seen = {row.args.get("releaseId") or row.args.get("saleId") or row.pk: (row.event, row.args) for row in rows}
    return [found for key, found in seen.items() if key not in over][:_MOST]


def _concerned(alarm: Alarm) -> tuple[list[str], list[str], list[str], list[dict[str, Any]]]:
    """Victims, suspects, issuing and attesting keys, and transfers, as the evidence names them; each once, in order."""
    victims: dict[str, None] = {}
    suspects: dict[str, None] = {}
    keys: dict[str, None] = {}
    moves = []
    if alarm.kind in _ACT_ON_HOLDERS and alarm.holder:
        victims[alarm.holder] = None
    for row in alarm.evidence.all():
        args = row.args
        if row.kind == Contract.Kind.SECURITY_TOKEN and row.event == "Transfer":
            moves.append({"hash": row.transaction_hash, "from": args["from"], "to": args["to"], "units": args["value"]})
            victims[args["from"]] = suspects[args["to"]] = None
        elif row.event in ("SbtIssued", "SbtRenewed"):
            suspects[args["holder"]] = None
            keys[args["issuer"]] = keys[args["attestor"]] = None
        elif row.event in ("Admitted", "RedemptionReversed"):
            suspects[args["holder"]] = None
        elif row.event == "RecoveryAnnounced":
            victims[args["lost"]] = suspects[args["replacement"]] = None
        elif row.event in ("Frozen", "Dismissed", "Redeemed", "Burned", "SbtSuspended", "SbtRevoked"):
            victims[args.get("account") or args["holder"]] = None
        elif row.event == "ForcedTransfer":
            victims[args["from"]] = suspects[args["to"]] = None
    for addresses in (victims, suspects):
        addresses.pop(ZERO_ADDRESS, None)
    return list(victims)[:_MOST], list(suspects)[:_MOST], list(keys)[:_MOST], moves[:_MOST]


def _tokens(alarm: Alarm, holdings: Sequence[Holding], moves: Sequence[dict[str, Any]]) -> list[str]:
    """The security of the alarm; without one, those its people hold; without any, all there are."""
    if alarm.token:
        return [alarm.token]
    held = sorted({row.token for row in holdings if row.units})
    if held:
        return held
    rows = Contract.objects.filter(chain_id=settings.CHAIN_ID, kind=Contract.Kind.SECURITY_TOKEN).order_by("-pk")
    return list(rows.values_list("address", flat=True)[:_MOST])


# --- names for people ---------------------------------------------------------------------------------------


def short(address: str) -> str:
    return f"{address[:6]}…{address[-4:]}"


def _named(address: str, names: dict[str, str]) -> str:
    return f"{names[address]} ({short(address)})" if names.get(address) else short(address)


# --- containing ---------------------------------------------------------------------------------------------------


def containing(scene: Scene, names: dict[str, str]) -> list[Action]:
    """What stops it: only what is not so already, the recommended first."""
    actions = [
        *_cancelling(scene),
        *_distrusting(scene, names),
        *_on_holders(scene, names),
        *_pausing(scene, names),
        *_on_collateral(scene, names),
    ]
    return sorted(actions, key=lambda action: not action.recommended)


def _cancelling(scene: Scene) -> Iterable[Action]:
    asked = {(step.target) for step in scene.done(Step.CANCEL) if step.state in ("asked", "in_block")}
    for operation in scene.operations[:_MOST]:
        if operation.is_ours or (operation.caller in asked and len(scene.operations) == 1):
            continue
        concerns = scene.alarm.kind == Kind.FOREIGN_SCHEDULE and operation.caller == scene.alarm.key
        yield Action(
            f"cancel:{operation.operation_id}",
            _("Cancel “%(function)s”, announced by %(caller)s (the council decides)")
            % {"function": operation.function, "caller": short(operation.caller)},
            partial(_cancel, operation, scene.alarm),
            recommended=concerns,
        )


def _cancel(operation: ScheduledOperation, alarm: Alarm | None, actor: User, reason: str) -> ResponseStep:
    return response.cancel_operation(
        caller=operation.caller,
        target=operation.target,
        data=bytes.fromhex(operation.data[2:]),
        actor=actor,
        reason=reason,
        alarm=alarm,
    )


def _distrusting(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    alarm = scene.alarm
    by_role = (SignerRole.SBT_ISSUER, SignerRole.ATTESTOR)
    keys = scene.issuers or ([alarm.key] if scene.signers.get(alarm.key) in by_role else [])
    for key in keys:
        since = scene.distrusted.get(key)
        if since is not None and since <= alarm.since:
            continue
        yield Action(
            f"distrust:{key}",
            _("Stop trusting %(key)s for everything since %(since)s")
            % {"key": _named(key, names), "since": timezone.localtime(alarm.since).strftime("%Y-%m-%d %H:%M:%S")},
            partial(_call, response.distrust_key, alarm, key=key, since=alarm.since),
            recommended=True,
        )
    if not scene.issuance_paused and (keys or alarm.kind == Kind.POWER_CHANGED):
        yield Action(
            "pause_issuance",
            _("Stop issuing verifications"),
            partial(_call, response.pause_issuance, alarm),
            recommended=bool(keys),
        )


def _on_holders(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    moved = scene.alarm.kind in (*_ACT_ON_HOLDERS, Kind.FOREIGN_ACT, Kind.UNASKED)
    for address in [*scene.suspects, *scene.victims]:
        is_suspect = address in scene.suspects
        rows = [row for row in scene.holdings if row.holder == address]
        recommended = moved and (is_suspect or scene.alarm.kind in _ACT_ON_HOLDERS)
        for row in rows:
            state = scene.states.get(row.token)
            if (row.units or row.admitted_sbt) and row.frozen_units < (state.authorised_units if state else 1):
                yield Action(
                    f"freeze:{address}:{row.token}",
                    _("Freeze what %(holder)s holds of %(security)s")
                    % {"holder": _named(address, names), "security": _named(row.token, names)},
                    partial(_call, response.freeze_holder, scene.alarm, holder=address, token=row.token),
                    recommended=recommended,
                )
            if is_suspect and row.admitted_sbt:
                yield Action(
                    f"dismiss:{address}:{row.token}",
                    _("End the admission of %(holder)s to %(security)s")
                    % {"holder": _named(address, names), "security": _named(row.token, names)},
                    partial(_call, response.dismiss_holder, scene.alarm, holder=address, token=row.token),
                )
        sbt = scene.sbts.get(address)
        if sbt is not None and not sbt.suspended:
            yield Action(
                f"suspend:{address}",
                _("Suspend the verification of %(holder)s") % {"holder": _named(address, names)},
                partial(_call, response.suspend_holder_sbt, scene.alarm, holder=address),
                # A victim's freeze is enough, and a suspended person cannot be given a new wallet.
                recommended=recommended and is_suspect,
            )


def _pausing(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    urgent = (
        Kind.FOREIGN_ACT,
        Kind.UNASKED,
        Kind.BURST,
        Kind.KEY_USED_ELSEWHERE,
        Kind.LEDGER_DIFFERS,
        Kind.POWER_CHANGED,
    )
    for token in scene.tokens:
        state = scene.states.get(token)
        if state is None or not state.paused:
            yield Action(
                f"pause:{token}",
                _("Pause %(security)s: nobody transfers it") % {"security": _named(token, names)},
                partial(_call, response.pause_security, scene.alarm, token=token),
                recommended=scene.alarm.kind in urgent and not scene.is_of_vault,
            )


def _on_collateral(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    asked = {
        (step.kind, step.data.get("id") or step.data.get("account")) for step in scene.steps if step.state != "failed"
    }
    if (scene.collateral or scene.is_of_vault) and not scene.collateral_paused:
        yield Action(
            "pause_collateral",
            _("Pause returns and sales of collateral; deposits go on"),
            partial(_call, collateral.pause_collateral, scene.alarm),
            recommended=True,
        )
    for event, args in scene.collateral:
        if "releaseId" in args and (Step.STOP_RELEASE, args["releaseId"]) not in asked:
            yield Action(
                f"stop_release:{args['releaseId']}",
                _("Stop the return of collateral %(id)s") % {"id": short(args["releaseId"])},
                partial(
                    _call, collateral.stop_release, scene.alarm, account=args["account"], release_id=args["releaseId"]
                ),
                recommended=True,
            )
        elif "saleId" in args and (Step.STOP_SALE, args["saleId"]) not in asked:
            yield Action(
                f"stop_sale:{args['saleId']}",
                _("Stop what is left of the sale of collateral %(id)s") % {"id": short(args["saleId"])},
                partial(_call, collateral.stop_sale, scene.alarm, account=args["account"], sale_id=args["saleId"]),
                recommended=True,
            )
        elif event == "BorrowerChangeAnnounced" and (Step.CANCEL_BORROWER, args["account"]) not in asked:
            yield Action(
                f"cancel_borrower:{args['account']}",
                _("Cancel the change of %(borrower)s to %(next)s (the council decides)")
                % {"borrower": _named(args["borrower"], names), "next": _named(args["next"], names)},
                partial(_call, collateral.cancel_borrower_change, scene.alarm, account=args["account"]),
                recommended=True,
            )
        elif event == "SaleAddressAnnounced" and (Step.CANCEL_SALE_ADDRESS, None) not in asked:
            yield Action(
                "cancel_sale_address",
                _("Cancel the change of the address for sold collateral to %(next)s (the council decides)")
                % {"next": _named(args["next"], names)},
                partial(_call, collateral.cancel_sale_address, scene.alarm),
                recommended=True,
            )


def _call(service: Callable[..., object], alarm: Alarm | None, actor: User, reason: str, **arguments: Any) -> object:
    return service(actor=actor, reason=reason, alarm=alarm, **arguments)


# --- restoring ------------------------------------------------------------------------------------------------------

_ADMINISTRATOR: Final = (Role.ADMINISTRATOR,)


def restoring(scene: Scene, names: dict[str, str]) -> list[Action]:
    """The way back, in its order: replace keys, issue and attest again, new wallets, bring units back, unfreeze, lift."""
    return [
        *_rotating(scene, names),
        *_resuming(scene),
        *_reattesting(scene),
        *_new_wallets(scene, names),
        *_executing(scene, names),
        *_returning(scene, names),
        *_unfreezing(scene, names),
        *_lifting(scene, names),
    ]


def _rotating(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    rotated = {step.target for step in scene.done(Step.ROTATE)}
    for key in dict.fromkeys([*scene.issuers, *filter(None, [scene.alarm.key])]):
        if key in rotated:
            continue
        if key in scene.replaceable:
            yield Action(
                f"rotate:{key}",
                _("Replace %(key)s: a new key gets its role, this one loses it (the administrators’ officers sign)")
                % {"key": _named(key, names)},
                partial(_call, rotation.replace_key, scene.alarm, key=key),
                roles=_ADMINISTRATOR,
            )
        elif key in scene.issuers and key not in scene.signers:
            yield Action(
                f"rotate:{key}",
                _("Note that the owner of %(key)s replaced it: we do not hold this key") % {"key": _named(key, names)},
                partial(_call, response.record_rotation, scene.alarm, key=key),
                roles=_ADMINISTRATOR,
            )


def _replacing(scene: Scene) -> bool:
    """Whether a key that issues or attests is yet to be replaced, as far as this alarm knows."""
    waiting = (ResponseStep.State.ASKED, ResponseStep.State.IN_BLOCK)
    if any(step.state in waiting for step in scene.done(Step.ROTATE)):
        return True
    return bool(scene.issuer) and scene.issuer in scene.distrusted


def _resuming(scene: Scene) -> Iterable[Action]:
    if scene.done(Step.PAUSE_ISSUANCE) and scene.issuance_paused:
        yield Action(
            "resume_issuance",
            _("Ask the council to let verifications be issued again"),
            partial(_call, response.resume_issuance, scene.alarm),
            roles=_ADMINISTRATOR,
            waits=_("when the stolen keys are replaced") if _replacing(scene) else "",
        )


def sound_but_distrusted(scene: Scene) -> list[str]:
    """Holders whose verification stopped counting only because a key behind it is no longer trusted."""
    if not scene.done(Step.DISTRUST):
        return []
    keys = [step.target for step in scene.done(Step.DISTRUST)]
    rows = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, revoked=False, suspended=False)
    rows = rows.filter(issuer__in=keys) | rows.filter(attestor__in=keys)
    asked = {step.target for step in scene.done(Step.REATTEST)}
    bad = (Standing.ISSUER_DISTRUSTED, Standing.ATTESTOR_DISTRUSTED)
    found = []
    for record in rows.order_by("pk")[: REATTEST_BATCH * 10]:
        waits = standing_of(record, scene.distrusted, timezone.now()) in bad
        if waits and record.address not in scene.suspects and record.address not in asked:
            found.append(record.address)
    return found


def _reattesting(scene: Scene) -> Iterable[Action]:
    holders = sound_but_distrusted(scene)
    if holders:
        batch = holders[:REATTEST_BATCH]
        yield Action(
            "reattest",
            _("Attest %(count)s sound verifications again with your own key (%(total)s wait)")
            % {"count": len(batch), "total": len(holders)},
            partial(_call, response.reattest_batch, scene.alarm, holders=batch),
            roles=(Role.KYC_OFFICER,),
            waits=_reattesting_waits_for(scene),
        )


def _reattesting_waits_for(scene: Scene) -> str:
    """What is issued with a key nobody trusts, or while nothing is issued, would be refused or worthless."""
    if _replacing(scene):
        return str(_("when the stolen keys are replaced"))
    return str(_("when verifications are issued again")) if scene.issuance_paused else ""


def _new_wallets(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    """Whose own key is stolen gets another wallet: what came back to the old one would be taken again."""
    for old in scene.stolen_wallets:
        others = [each for each in wallets_of_same_person(old) if each != old]
        sbt = scene.sbts.get(old)
        if not others and not scene.done(Step.NEW_WALLET) and old in scene.custody and sbt is not None:
            yield Action(
                f"wallet:{old}",
                _("Give %(holder)s a new wallet, attested with your own key") % {"holder": _named(old, names)},
                partial(_call, response.give_new_wallet, scene.alarm, holder=old),
                roles=(Role.KYC_OFFICER,),
                waits=_("when their suspension is lifted; what they hold stays frozen") if sbt.suspended else "",
            )
        for new in others[:1]:
            yield from _admitting(scene, names, old, new)


def _admitting(scene: Scene, names: dict[str, str], old: str, new: str) -> Iterable[Action]:
    asked = {(step.token, step.target) for step in scene.done(Step.ADMIT)}
    known = Holding.objects.filter(chain_id=settings.CHAIN_ID, holder=new, admitted_sbt__gt=0)
    admitted = set(known.values_list("token", flat=True))
    for row in scene.holdings:
        if row.holder == old and row.token not in admitted and (row.token, new) not in asked:
            yield Action(
                f"admit:{new}:{row.token}",
                _("Admit the new wallet %(holder)s to %(security)s")
                % {"holder": _named(new, names), "security": _named(row.token, names)},
                partial(_call, response.admit_new_wallet, scene.alarm, holder=new, former=old, token=row.token),
                roles=_ADMINISTRATOR,
            )


def _executing(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    status = chain_status()
    now = max(filter(None, [timezone.now(), status.indexed_at]))
    executed = {step.scheduled_id for step in scene.done(Step.EXECUTE)}
    standing = {(each.target, each.data): each for each in scene.operations}
    for step in scene.done(Step.SCHEDULE):
        operation = standing.get((step.data["to"], step.data["calldata"]))
        if step.pk not in executed and operation is not None:
            ready = operation.ready_at <= now
            yield Action(
                f"execute:{step.pk}",
                _("Carry out what was announced: %(what)s") % {"what": step_words(step, names)},
                partial(_execute, step),
                recommended=ready,
                roles=_ADMINISTRATOR,
                waits="" if ready else str(_("when its waiting time is over")),
            )


def _execute(step: ResponseStep, actor: User, _reason: str) -> ResponseStep:
    return response.execute_scheduled(step=step, actor=actor)


def _returning(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    """Units that a theft moved and that are still where they went, back to their holder or another wallet of theirs.

    What is left on a wallet whose key is stolen follows to the new one.
    """
    announced = {(step.token, step.target) for step in scene.done(Step.SCHEDULE) if "units" in step.data}
    for token in scene.tokens:
        for holder in [*scene.suspects, *scene.stolen_wallets]:
            row = scene.holding(token, holder)
            if row is None or not row.units or (token, holder) in announced:
                continue
            if holder in scene.suspects:
                yield from _taking_back(scene, names, token, holder, int(row.units))
            else:
                owners = [each for each in wallets_of_same_person(holder) if each != holder]
                yield from _moving(scene, names, token, holder, owners[:1], int(row.units))


def _taking_back(scene: Scene, names: dict[str, str], token: str, suspect: str, held: int) -> Iterable[Action]:
    """Only as much as the theft brought: what a suspect held before is theirs until a court says otherwise."""
    units = min(held, sum(int(move["units"]) for move in scene.moves if move["to"] == suspect))
    source = next((move["from"] for move in scene.moves if move["to"] == suspect), "")
    if not units:
        return
    if source == ZERO_ADDRESS:
        yield _announcement(
            f"burn:{suspect}:{token}",
            ngettext(
                "Announce: burn %(units)s wrongly credited unit of %(holder)s",
                "Announce: burn %(units)s wrongly credited units of %(holder)s",
                units,
            )
            % {"units": f"{units:,}", "holder": _named(suspect, names)},
            partial(_call, response.schedule_burn, scene.alarm, token=token, holder=suspect, units=units),
        )
        return
    owners = wallets_of_same_person(source)
    if source in scene.stolen_wallets:
        # To a wallet whose key is stolen only where there is no other and will be none.
        owners = [each for each in owners if each != source] or ([] if source in scene.custody else owners)
    yield from _moving(scene, names, token, suspect, owners, units)


def _moving(
    scene: Scene, names: dict[str, str], token: str, holder: str, owners: Sequence[str], units: int
) -> Iterable[Action]:
    """Announce that `units` go to one of `owners`; to one that the security does not take yet, once it does."""
    for owner in owners:
        is_admitted = Holding.objects.filter(
            chain_id=settings.CHAIN_ID, token=token, holder=owner, admitted_sbt__gt=0
        ).exists()
        yield _announcement(
            f"return:{holder}:{owner}:{token}",
            ngettext(
                "Announce: move %(units)s unit of %(holder)s back to %(owner)s",
                "Announce: move %(units)s units of %(holder)s back to %(owner)s",
                units,
            )
            % {"units": f"{units:,}", "holder": _named(holder, names), "owner": _named(owner, names)},
            partial(
                _call,
                response.schedule_forced_transfer,
                scene.alarm,
                token=token,
                holder=holder,
                recipient=owner,
                units=units,
            ),
            waits="" if is_admitted else str(_("when that wallet is admitted")),
        )


def _announcement(code: str, label: str, run: Callable[[User, str], object], *, waits: str = "") -> Action:
    return Action(code, label, run, roles=_ADMINISTRATOR, waits=waits)


def wallets_of_same_person(address: str) -> list[str]:
    """This address and the others of the same subject, the others first: the key of this one may be the stolen one."""
    record = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, address=address).first()
    if record is None:
        return [address]
    rows = SbtRecord.objects.filter(chain_id=settings.CHAIN_ID, subject=record.subject, revoked=False, suspended=False)
    others = rows.exclude(address=address).order_by("-pk").values_list("address", flat=True)
    return [*others[:3], address]


def _unfreezing(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    announced = {(step.token, step.target) for step in scene.done(Step.SCHEDULE) if "setFrozen" in step.function}
    for step in scene.done(Step.FREEZE):
        row = scene.holding(step.token, step.target)
        if row is not None and row.frozen_units and (step.token, step.target) not in announced:
            yield _announcement(
                f"unfreeze:{step.target}:{step.token}",
                _("Announce: unfreeze what %(holder)s holds of %(security)s")
                % {"holder": _named(step.target, names), "security": _named(step.token, names)},
                partial(_call, response.schedule_unfreeze, scene.alarm, token=step.token, holder=step.target),
            )


def _lifting(scene: Scene, names: dict[str, str]) -> Iterable[Action]:
    alarm = scene.alarm
    for address in dict.fromkeys(step.target for step in scene.done(Step.SUSPEND)):
        sbt = scene.sbts.get(address)
        if sbt is not None and sbt.suspended:
            yield Action(
                f"reinstate:{address}",
                _("Ask the council to lift the suspension of %(holder)s") % {"holder": _named(address, names)},
                partial(_call, response.lift_suspension, alarm, holder=address),
                roles=_ADMINISTRATOR,
            )
    for token in dict.fromkeys(step.token for step in scene.done(Step.PAUSE)):
        if token in scene.states and scene.states[token].paused:
            yield Action(
                f"unpause:{token}",
                _("Ask the council to lift the pause of %(security)s") % {"security": _named(token, names)},
                partial(_call, response.lift_pause, alarm, token=token),
                roles=_ADMINISTRATOR,
            )
    if scene.done(Step.PAUSE_COLLATERAL) and scene.collateral_paused:
        yield Action(
            "unpause_collateral",
            _("Ask the council to let returns and sales of collateral go on"),
            partial(_call, collateral.lift_collateral_pause, alarm),
            roles=_ADMINISTRATOR,
        )
    for key in dict.fromkeys(step.target for step in scene.done(Step.DISTRUST)):
        if key in scene.distrusted and (key in scene.replaceable or key not in scene.signers):
            yield Action(
                f"trust:{key}",
                _("Ask the council to trust %(key)s again: only if it was never stolen") % {"key": _named(key, names)},
                partial(_call, response.restore_trust, alarm, key=key),
                roles=_ADMINISTRATOR,
            )


# --- doing it --------------------------------------------------------------------------------------------------------


@transaction.atomic
def carry_out(actions: Sequence[Action], *, actor: User, reason: str) -> int:
    """Do all of `actions`, or none if one is refused; the refusal names it. Returns how many."""
    for action in actions:
        try:
            action.run(actor, reason)
        except DomainError as error:
            if len(actions) == 1:
                raise
            raise response.ResponseRefused(
                _("“%(step)s” was refused: %(why)s None of the chosen steps was taken.")
                % {"step": action.label, "why": error.message},
                code=error.code,
            ) from error
    return len(actions)


def step_words(step: ResponseStep, names: dict[str, str]) -> str:
    """What a step is, in a few words with whom and what it concerns."""
    units = int(step.data.get("units") or 0)
    who = _named(step.target, names) if step.target else ""
    recipient = step.data.get("recipient", "")
    if step.function == "SecurityToken.forcedTransfer":
        text = ngettext(
            "move %(units)s unit of %(holder)s to %(recipient)s",
            "move %(units)s units of %(holder)s to %(recipient)s",
            units,
        )
    elif step.function == "SecurityToken.setFrozenTokens":
        text = _("unfreeze the holding of %(holder)s")
    elif step.function == "SecurityToken.burn":
        text = ngettext("burn %(units)s unit of %(holder)s", "burn %(units)s units of %(holder)s", units)
    elif step.data.get("replacement"):
        text, recipient = _("%(recipient)s takes over from %(holder)s"), step.data["replacement"]
    else:
        parts = [part for part in (who, _named(step.token, names) if step.token else "") if part]
        return ", ".join(parts)
    return text % {"units": f"{units:,}", "holder": who, "recipient": _named(recipient, names) if recipient else ""}
