"""Pages for officers: what waits for them, what exactly they sign, and a place to hand a signature in."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from chain import services
from chain.exceptions import CallRefused, NodeUnavailable
from chain.gateway import gateway
from chain.governance import safe as safes
from chain.models import SafeProposal
from chain.signers import checksummed
from portal.access import auditor_may_read, role_required
from portal.exceptions import DomainError
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


def _page(request: HttpRequest, proposal_id: int, form: SignatureForm, *, status: int = 200) -> HttpResponse:
    found = get_object_or_404(SafeProposal.objects.select_related("safe", "relay", "transaction"), pk=proposal_id)
    assert isinstance(request.user, User)  # noqa: S101
    can_sign = found.state == SafeProposal.State.COLLECTING and found.nonce is not None
    context: dict[str, Any] = {
        "proposal": found,
        "form": form,
        "can_sign": can_sign and request.user.has_role(Role.ADMINISTRATOR),
        "payload": json.dumps(safes.typed_data(found), indent=2) if found.nonce is not None else "",
        "digest": safes.digest(found) if found.nonce is not None else "",
        **_officers(found),
    }
    return render(request, "chain/proposal.html", context, status=status)


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
