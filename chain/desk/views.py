"""Pages of the incident desk: who is called, what happened, and what to do about it in at most three clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain import selectors
from chain.desk import actions, wording
from chain.desk import selectors as desk_selectors
from chain.desk.actions import Action, Scene
from chain.desk.forms import ActionsForm, ConclusionForm
from chain.desk.models import Alarm, ResponseStep
from chain.registry import visibility
from chain.services import alarms, response
from portal.access import auditor_may_read, signed_in, value_action
from portal.exceptions import DomainError, NotPermitted
from portal.idempotency import acts_once
from portal.models import Role, User

_desk = auditor_may_read(Role.ADMINISTRATOR, Role.KYC_OFFICER)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 (behind portal.access)
    return request.user


@require_safe
@_desk
def desk(request: HttpRequest) -> HttpResponse:
    """Open alarms, the most urgent first; what stands announced on the chain; what was closed lately."""
    user = _user(request)
    rows = desk_selectors.open_alarms()
    operations = desk_selectors.scheduled_operations(at=timezone.now())
    addresses = {each for row in rows for each in (row.key, row.holder, row.token) if each}
    addresses |= {each for operation in operations for each in (operation.caller, operation.target)}
    names = desk_selectors.names_for(user, addresses)
    context = {
        "alarms": [(row, wording.happened(row, names)) for row in rows],
        "closed": desk_selectors.closed_alarms(),
        "operations": operations,
        "names": names,
        "now": timezone.now(),
        "may_act": _acts(user),
        "status": selectors.chain_status(),
        "rule": alarms.current_rule(),
    }
    return render(request, "chain/desk/desk.html", context)


def _acts(user: User) -> bool:
    return user.has_role(Role.ADMINISTRATOR) or user.has_role(Role.KYC_OFFICER)


def _scene(request: HttpRequest, alarm_id: int) -> tuple[Alarm, Scene, dict[str, str]]:
    alarm = get_object_or_404(Alarm.objects.prefetch_related("evidence").select_related("closed_by"), pk=alarm_id)
    scene = actions.scene_of(alarm)
    addresses = {alarm.key, alarm.holder, *scene.addresses, *scene.tokens, *scene.issuers}
    addresses |= {each for stolen in scene.stolen_wallets for each in actions.wallets_of_same_person(stolen)}
    addresses |= {each for step in scene.steps for each in (step.target, step.token, step.data.get("recipient", ""))}
    addresses |= {move[side] for move in scene.moves for side in ("from", "to")}
    addresses |= {value for row in alarm.evidence.all() for value in row.args.values() if _is_address(value)}
    return alarm, scene, desk_selectors.names_for(_user(request), filter(None, addresses))


def _is_address(value: object) -> bool:
    return isinstance(value, str) and len(value) == 42 and value.startswith("0x")


@require_safe
@_desk
def alarm_detail(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """One alarm: what happened, who is affected and how they stand, what can be done, and what was."""
    user = _user(request)
    alarm, scene, names = _scene(request, alarm_id)
    is_open = alarm.state != Alarm.State.CLOSED
    context = {
        "alarm": alarm,
        "happened": wording.happened(alarm, names),
        "scene": scene,
        "names": names,
        "people": desk_selectors.picture(scene, names),
        "containing": [each for each in actions.containing(scene, names) if each.is_for(user)] if is_open else [],
        "restoring": _checklist(actions.restoring(scene, names), user) if is_open else [],
        "steps": [(step, actions.step_words(step, names)) for step in scene.steps],
        "evidence": desk_selectors.evidence_lines(alarm, names),
        "waiting": desk_selectors.waiting_operations(scene),
        "may_act": is_open and _acts(user),
        "conclusion": ConclusionForm(),
        "status": selectors.chain_status(),
        "now": timezone.now(),
    }
    return render(request, "chain/desk/alarm_detail.html", context)


def _checklist(offered: Sequence[Action], user: User) -> list[tuple[Action, bool]]:
    """Every step of the way back with whether this reader can take it now; others see whose it is."""
    return [(action, action.is_open_to(user)) for action in offered]


@require_http_methods(["GET", "HEAD", "POST"])
@_desk
@value_action
@acts_once
def contain(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """Choose what stops it; the recommended is ticked already."""
    return _choose(request, alarm_id, actions.containing, "chain/desk/alarm_contain.html")


@require_http_methods(["GET", "HEAD", "POST"])
@_desk
@value_action
@acts_once
def restore(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """Choose the next steps of the way back."""
    return _choose(request, alarm_id, actions.restoring, "chain/desk/alarm_restore.html")


def _choose(
    request: HttpRequest, alarm_id: int, offer: Callable[[Scene, dict[str, str]], list[Action]], template: str
) -> HttpResponse:
    user = _user(request)
    if not _acts(user):
        raise NotPermitted(_("You may look at the desk, not act. Nothing was changed."), code="chain.desk.read_only")
    alarm, scene, names = _scene(request, alarm_id)
    is_open = alarm.state != Alarm.State.CLOSED
    offered = [action for action in offer(scene, names) if action.is_open_to(user)] if is_open else []
    form = ActionsForm(
        request.POST or None,
        offered=offered,
        only=request.GET.get("only", ""),
        reason=f"{_('Alarm')} {alarm.pk}: {alarm.get_kind_display()}",
    )
    if request.method == "POST" and form.is_valid() and _carry_out(request, form, offered):
        return redirect("chain:alarm", alarm.pk)
    context = {
        "alarm": alarm,
        "happened": wording.happened(alarm, names),
        "form": form,
        "offered": offered,
        "people": desk_selectors.picture(scene, names),
    }
    return render(request, template, context, status=400 if form.errors else 200)


def _carry_out(request: HttpRequest, form: ActionsForm, offered: Sequence[Action]) -> bool:
    chosen = [action for action in offered if action.code in form.cleaned_data["actions"]]
    try:
        count = actions.carry_out(chosen, actor=_user(request), reason=form.cleaned_data["reason"])
    except DomainError as error:
        form.add_error(None, str(error.message))
        return False
    text = ngettext("%(count)d step was asked for.", "%(count)d steps were asked for.", count)
    messages.success(request, text % {"count": count})
    return True


@require_POST
@_desk
def close(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """A person says what came of the alarm."""
    get_object_or_404(Alarm, pk=alarm_id)
    form = ConclusionForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for error in form.errors["conclusion"]))
        return redirect("chain:alarm", alarm_id)
    try:
        alarms.close_alarm(alarm_id=alarm_id, actor=_user(request), conclusion=form.cleaned_data["conclusion"])
    except DomainError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("The alarm was closed."))
    return redirect("chain:alarm", alarm_id)


@require_http_methods(["GET", "HEAD", "POST"])
@_desk
@value_action
@acts_once
def cancel_operation(request: HttpRequest, operation_id: str) -> HttpResponse:
    """Ask the council to cancel something that stands announced, with or without an alarm."""
    user = _user(request)
    if not _acts(user):
        raise NotPermitted(_("You may look at the desk, not act. Nothing was changed."), code="chain.desk.read_only")
    operation = desk_selectors.operation(operation_id)
    if operation is None:
        raise Http404
    names = desk_selectors.names_for(user, [operation.caller, operation.target])
    offered = [
        Action(
            f"cancel:{operation.operation_id}",
            _("Cancel “%(function)s” (the council decides)") % {"function": operation.function},
            lambda actor, reason: response.cancel_operation(
                caller=operation.caller,
                target=operation.target,
                data=bytes.fromhex(operation.data[2:]),
                actor=actor,
                reason=reason,
            ),
            recommended=True,
        )
    ]
    form = ActionsForm(request.POST or None, offered=offered)
    if request.method == "POST" and form.is_valid() and _carry_out(request, form, offered):
        return redirect("chain:desk")
    context = {"operation": operation, "names": names, "form": form, "now": timezone.now()}
    return render(request, "chain/desk/operation_cancel.html", context, status=400 if form.errors else 200)


# --- the holder's own page ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@acts_once
def report_stolen_key(request: HttpRequest) -> HttpResponse:
    """A holder stops everything of their own at once. No second factor is asked: it only reduces, and it may be lost."""
    user = _user(request)
    addresses = sorted(visibility.addresses_of(user))
    if request.method == "POST" and addresses:
        for address in addresses:
            alarms.report_stolen_key(holder=address, actor=user)
        return redirect("chain:stolen-key")
    reports = desk_selectors.reports_of(addresses)
    ended = (ResponseStep.State.DONE, ResponseStep.State.UNNEEDED)
    context: dict[str, Any] = {
        "addresses": addresses,
        "reports": reports,
        "is_stopped": all(step.state in ended for report in reports for step in report.steps.all()),
    }
    return render(request, "chain/desk/report_stolen_key.html", context)
