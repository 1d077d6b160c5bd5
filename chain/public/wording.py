"""The reading in words: roles, settings, kinds of contracts, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from chain.models import Contract
from chain.public.code import FORWARDER, Verdict
from chain.types import ChainRole, Restriction

Text = str | Promise


class RoleWords(NamedTuple):
    """What a role is called, and what whoever holds it can do."""

    name: Text
    does: Text


ROLES: Mapping[int, RoleWords] = {
    ChainRole.ADMIN: RoleWords(
        _("Administration"),
        _("Gives and takes roles, says what each role may do, and changes limits. Everything is announced first."),
    ),
    ChainRole.SBT_ISSUER: RoleWords(
        _("Issuer of verification tokens"),
        _("Puts a verification token on the chain once an officer has attested it, renews it and revokes it."),
    ),
    ChainRole.ATTESTOR: RoleWords(
        _("Attesting officer"), _("Signs the attestation without which no verification token is issued or renewed.")
    ),
    ChainRole.SBT_GUARDIAN: RoleWords(
        _("Guardian of verification tokens"),
        _("Suspends a token, stops trusting a key, and pauses issuing. Can only stop things, not give anything."),
    ),
    ChainRole.TOKEN_AGENT: RoleWords(
        _("Agent of the securities"),
        _("Admits holders, issues and redeems units, freezes units, and moves a lost wallet's holding after notice."),
    ),
    ChainRole.TOKEN_CONTROLLER: RoleWords(
        _("Controller of the securities"),
        _("Moves units by order of a court or after a theft, lifts freezes, and takes back units issued by mistake."),
    ),
    ChainRole.TOKEN_GUARDIAN: RoleWords(
        _("Guardian of the securities"),
        _("Pauses transfers, and stops returns and sales of collateral. Can only stop things, not give anything."),
    ),
    ChainRole.COUNCIL: RoleWords(
        _("Council"), _("Lifts pauses and suspensions, trusts a key again, and cancels what others have announced.")
    ),
    ChainRole.MANAGEMENT: RoleWords(
        _("Management functions"),
        _("The functions by which roles are changed. Nobody holds this role; it lets the council cancel such changes."),
    ),
    ChainRole.COLLATERAL_AGENT: RoleWords(
        _("Agent of the collateral"),
        _("Returns collateral to its borrower after notice, and carries out a recorded sale."),
    ),
    ChainRole.SALE_RECORDER: RoleWords(
        _("Recorder of collateral sales"), _("Records how much collateral may be sold. Moves nothing itself.")
    ),
}

HOLDER_KINDS: Mapping[str, Text] = {
    "key": _("single key"),
    "safe": _("Safe: several officers sign"),
    "timelock": _("timelock: waits before it acts"),
    "contract": _("another contract"),
}

TIMELOCK_ROLES: Mapping[str, Text] = {
    "proposer": _("May announce"),
    "executor": _("May carry out after the wait"),
    "canceller": _("May cancel"),
    "admin": _("May change the timelock's own roles"),
}


class SettingWords(NamedTuple):
    """A figure of a contract: its name, and what it counts: seconds, count, units or wei."""

    name: Text
    unit: str


SETTINGS: Mapping[tuple[str, str], SettingWords] = {
    ("InvestorSBT", "activationDelay"): SettingWords(_("From issue to effect of a verification token"), "seconds"),
    ("InvestorSBT", "issuanceLimitPerDay"): SettingWords(_("Verification tokens issued in 24 hours at most"), "count"),
    ("SecurityToken", "controllerDelay"): SettingWords(_("Notice before the controller acts"), "seconds"),
    ("SecurityToken", "recoveryDelay"): SettingWords(_("Notice before a lost wallet's holding moves"), "seconds"),
    ("SecurityToken", "authorisedAmount"): SettingWords(_("May be outstanding at most"), "units"),
    ("CollateralVault", "releaseDelay"): SettingWords(_("Notice before collateral is returned"), "seconds"),
    ("CollateralVault", "noticePeriod"): SettingWords(_("Notice before a borrower's address changes"), "seconds"),
    ("CollateralVault", "releaseLimitPerDay"): SettingWords(_("Returned in 24 hours at most"), "wei"),
    ("CollateralVault", "saleLimitPerDay"): SettingWords(_("Sold in 24 hours at most"), "wei"),
}
#: OpenZeppelin's own wait per contract, shown unless it is 0: ours is in the timelock, in front of all of them.
ADMIN_DELAY = SettingWords(_("Further wait before the administration changes it"), "seconds")

KINDS: Mapping[str, Text] = {
    Contract.Kind.ACCESS_MANAGER: _("Register of roles"),
    Contract.Kind.INVESTOR_SBT: _("Verification tokens (SBT)"),
    Contract.Kind.SECURITY_TOKEN: _("Security"),
    Contract.Kind.SAFE: _("Safe, the code of both Safes"),
    Contract.Kind.SAFE_PROXY_FACTORY: _("Maker of Safes"),
    Contract.Kind.ADMIN_SAFE: _("Safe of the administration"),
    Contract.Kind.COUNCIL_SAFE: _("Safe of the council"),
    Contract.Kind.TIMELOCK: _("Timelock of the administration"),
    Contract.Kind.COLLATERAL_VAULT: _("Vault of the collateral"),
    FORWARDER: _("Code of the deposit addresses"),
    Contract.Kind.PRICE_FEED: _("Simulated price (demonstration only)"),
}


class VerdictWords(NamedTuple):
    """A verdict for people: a few words, and the tone of its badge."""

    words: Text
    tone: str


VERDICTS: Mapping[str, VerdictWords] = {
    Verdict.EQUAL: VerdictWords(_("Same as our build"), "good"),
    Verdict.LIBRARY: VerdictWords(_("Same as OpenZeppelin's, built by us"), "good"),
    Verdict.RELEASE: VerdictWords(_("Same as the authors' release"), "good"),
    Verdict.PROXY: VerdictWords(_("The authors' proxy; runs the Safe's code"), "good"),
    Verdict.DIFFERS: VerdictWords(_("Not the same code"), "bad"),
    Verdict.ABSENT: VerdictWords(_("No code at this address"), "bad"),
}

OUT_OF_GAS: Text = _("It was given too little gas (computing), and stopped half-way.")

#: Why a contract refuses a transfer, told to somebody who is neither its sender nor its recipient.
REASONS: Mapping[Restriction, Text] = {
    Restriction.NONE: _("At the time it would have gone through; something in the same block was in its way."),
    Restriction.PAUSED: _("Transfers of this security were paused."),
    Restriction.SENDER_INVALID: _("The sending address cannot hold securities."),
    Restriction.RECEIVER_INVALID: _("The receiving address cannot hold securities."),
    Restriction.SENDER_NO_SBT: _("The sending address had no verification token."),
    Restriction.SENDER_PENDING: _("The sending address's verification token was not in force yet."),
    Restriction.SENDER_EXPIRED: _("The sending address's verification token had expired."),
    Restriction.SENDER_SUSPENDED: _("The sending address's verification token was suspended."),
    Restriction.SENDER_ISSUER_DISTRUSTED: _(
        "The sending address's verification token came from a key that is no longer trusted."
    ),
    Restriction.SENDER_ATTESTOR_DISTRUSTED: _(
        "The sending address's verification token was signed with a key that is no longer trusted."
    ),
    Restriction.RECEIVER_NO_SBT: _("The receiving address had no verification token."),
    Restriction.RECEIVER_PENDING: _("The receiving address's verification token was not in force yet."),
    Restriction.RECEIVER_EXPIRED: _("The receiving address's verification token had expired."),
    Restriction.RECEIVER_SUSPENDED: _("The receiving address's verification token was suspended."),
    Restriction.RECEIVER_ISSUER_DISTRUSTED: _(
        "The receiving address's verification token came from a key that is no longer trusted."
    ),
    Restriction.RECEIVER_ATTESTOR_DISTRUSTED: _(
        "The receiving address's verification token was signed with a key that is no longer trusted."
    ),
    Restriction.RECEIVER_NOT_ADMITTED: _("The receiving address was not admitted to this security."),
    Restriction.ABOVE_BALANCE: _("The amount was more than the sending address held."),
    Restriction.ABOVE_UNFROZEN: _("Part of what the sending address held was frozen, and the rest was not enough."),
    Restriction.SENDER_IN_RECOVERY: _("The sending address was being replaced after a loss, so nothing may leave it."),
    Restriction.LOCK_UP: _("The lock-up of this security had not ended."),
    Restriction.RECORD_DATE_FREEZE: _("Transfers were closed around the record date."),
    Restriction.QII_ONLY: _("Only qualified institutional investors may receive this security."),
    Restriction.HOLDER_CAP: _("The security already had as many holders as it may have."),
    Restriction.MINIMUM_LOT: _("The amount, or what would have been left, was below the minimum lot."),
    Restriction.WHOLE_BALANCE_ONLY: _("This security can be transferred only as a whole holding."),
}
