"""Pages for officers: what waits for them, what exactly they sign, and a place to hand a signature in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chain import abi, services
from chain.exceptions import CallRefused, NodeUnavailable
from chain.gateway import gateway
from chain.governance import safe as safes
from chain.governance.proposals import inner_call
from chain.models import Contract, SafeProposal
from chain.signers import checksummed
from chain.types import ChainRole
from portal.access import auditor_may_read, role_required, value_action
from portal.exceptions import DomainError
from portal.idempotency import acts_once
from portal.models import Role, User

_SHOWN = 100


class SignatureForm(forms.Form):
    """A signature as a wallet gives it: 65 bytes in hex."""

    signature = forms.CharField(
        label=gettext_lazy("Signature"),
        max_length=200,
        help_text=gettext_lazy("As your wallet shows it: 0x, followed by 130 digits and letters from a to f."),
    )

    def clean_signature(self) -> bytes:
        text = str(self.cleaned_data["signature"]).strip().removeprefix("0x")
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise forms.ValidationError(
                _("This is not a signature: it has other characters than digits and a to f."), code="malformed"
            ) from error


class WithdrawalForm(forms.Form):
    """Why a proposal is withdrawn."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=300,
        error_messages={"required": gettext_lazy("Say why, in a few words: it is kept in the audit trail.")},
    )


class CancellationForm(forms.Form):
    """Nothing to fill in: the council is asked."""


@require_safe
@auditor_may_read(Role.ADMINISTRATOR)
def proposals(request: HttpRequest) -> HttpResponse:
    """What officers have to sign and what was decided, newest first."""
    found = SafeProposal.objects.select_related("safe", "transaction").order_by("-pk")
    waiting = list(found.exclude(state__in=SafeProposal.ENDED))
    ended = found.filter(state__in=SafeProposal.ENDED)[:_SHOWN]
    return render(request, "chain/proposals.html", {"waiting": waiting, "ended": ended})


@require_safe
@auditor_may_read(Role.ADMINISTRATOR)
def proposal(request: HttpRequest, proposal_id: int) -> HttpResponse:
    """One proposal: who signed, who must still sign, and the payload."""
    return _page(request, proposal_id, SignatureForm())


@require_POST
@role_required(Role.ADMINISTRATOR)
@value_action
def sign(request: HttpRequest, proposal_id: int) -> HttpResponse:
    """Take a signature. Whose key made it decides, not who hands it in."""
    form = SignatureForm(request.POST)
    if not form.is_valid():
        return _page(request, proposal_id, form, status=422)
    assert isinstance(request.user, User)  # noqa: S101
    try:
        services.post_signature(proposal_id=proposal_id, signature=form.cleaned_data["signature"], actor=request.user)
    except DomainError as error:
        form.add_error("signature", str(error.message))
        return _page(request, proposal_id, form, status=error.status_code)
    messages.success(request, _("The signature was recorded."))
    return redirect("chain:proposal", proposal_id)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMINISTRATOR)
@value_action
@acts_once
def withdraw(request: HttpRequest, proposal_id: int) -> HttpResponse:
    """Take back what was not submitted yet."""
    found = get_object_or_404(SafeProposal, pk=proposal_id)
    form = WithdrawalForm(request.POST or None)

    def act(user: User) -> None:
        services.withdraw_proposal(proposal_id=found.pk, actor=user, reason=form.cleaned_data["reason"])

    return _end(request, found, form, act, done=_("The proposal was withdrawn."), can=found.can_be_withdrawn)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMINISTRATOR)
@value_action
@acts_once
def cancel(request: HttpRequest, proposal_id: int) -> HttpResponse:
    """Ask the council to cancel what the admin announced, while its waiting time runs."""
    found = get_object_or_404(SafeProposal, pk=proposal_id)

    def act(user: User) -> None:
        services.propose_cancellation(proposal_id=found.pk, actor=user)

    form = CancellationForm(request.POST if request.method == "POST" else None)
    said = _("The council was asked to cancel it.")
    return _end(request, found, form, act, done=said, can=found.can_be_cancelled)


def _end(
    request: HttpRequest,
    found: SafeProposal,
    form: forms.Form,
    act: Callable[[User], object],
    *,
    done: str,
    can: bool,
) -> HttpResponse:
    """Show what would end and end it; a refusal in words on the same page."""
    assert isinstance(request.user, User)  # noqa: S101 (behind portal.access)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            act(request.user)
        except DomainError as error:
            form.add_error(None, str(error.message))
            status = error.status_code
        else:
            messages.success(request, done)
            return redirect("chain:proposal", found.pk)
    context = {"proposal": found, "form": form, "can": can, "withdraws": isinstance(form, WithdrawalForm)}
    return render(request, "chain/proposal_end.html", context, status=422 if form.errors and status == 200 else status)


def _page(request: HttpRequest, proposal_id: int, form: SignatureForm, *, status: int = 200) -> HttpResponse:
    found = get_object_or_404(SafeProposal.objects.select_related("safe", "relay", "transaction"), pk=proposal_id)
    assert isinstance(request.user, User)  # noqa: S101
    can_sign = found.state == SafeProposal.State.COLLECTING and found.nonce is not None
    context: dict[str, Any] = {
        "proposal": found,
        "form": form,
        "can_sign": can_sign and request.user.has_role(Role.ADMINISTRATOR),
        "may_end": request.user.has_role(Role.ADMINISTRATOR),
        "payload": json.dumps(safes.typed_data(found), indent=2) if found.nonce is not None else "",
        "digest": safes.digest(found) if found.nonce is not None else "",
        "parts": parts_in_words(found),
        **_officers(found),
    }
    return render(request, "chain/proposal.html", context, status=status)


def parts_in_words(proposal: SafeProposal) -> list[str]:
    """Who gets and who loses which role, of a proposal that does several things at once; nothing of any other."""
    target, data = inner_call(proposal)
    decoded = abi.decode_arguments(Contract.Kind.ACCESS_MANAGER, data) if proposal.target == target else None
    if decoded is None or decoded[0] != "multicall":
        return []
    words = []
    for part in decoded[1][0]:
        step = abi.decode_arguments(Contract.Kind.ACCESS_MANAGER, bytes(part))
        sentence = _ROLE_SENTENCES.get(step[0]) if step else None
        if step and sentence:
            role, account = step[1][0], checksummed(step[1][1])
            words.append(_(sentence) % {"role": ChainRole(role).name, "address": account})
    return words


_ROLE_SENTENCES = {
    "grantRole": gettext_noop("Give the role %(role)s to %(address)s."),
    "revokeRole": gettext_noop("Take the role %(role)s from %(address)s."),
}


def _officers(proposal: SafeProposal) -> dict[str, Any]:
    """Who signed and who has not, by the owners the Safe has now; without a node only who signed."""
    digest = safes.digest(proposal) if proposal.nonce is not None else ""
    signed = list(proposal.signatures.filter(digest=digest).order_by("pk"))
    names = {signature.owner for signature in signed}
    try:
        (owners,) = gateway().read(proposal.safe.kind, proposal.safe.address, "getOwners")
        (threshold,) = gateway().read(proposal.safe.kind, proposal.safe.address, "getThreshold")
    except (NodeUnavailable, CallRefused):
        return {"signed": signed, "unsigned": [], "threshold": None, "missing": None}
    unsigned = [owner for owner in map(checksummed, owners) if owner not in names]
    missing = max(int(threshold) - len(names), 0)
    return {"signed": signed, "unsigned": unsigned, "threshold": int(threshold), "missing": missing}
