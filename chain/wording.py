"""What the chain answers and does, in sentences for people. No rule is decided here.

Every refusal says what was asked, why not, that nothing moved, and what to do next (UX: Wording).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from chain.abi import code_of
from chain.registry import incident_meanings
from chain.types import Restriction, Standing
from portal.registry import filled

Text = str | Promise


class Refusal(NamedTuple):
    """`reason` fits in a table cell or beside a field; `sentence` stands alone on a page."""

    reason: Text
    sentence: Text


RESTRICTIONS: Mapping[Restriction, Refusal] = {
    Restriction.NONE: Refusal(
        gettext_lazy("No obstacle"),
        gettext_lazy("Nothing stands in the way of this transfer."),
    ),
    Restriction.PAUSED: Refusal(
        gettext_lazy("Transfers are paused"),
        gettext_lazy(
            "Transfers of this security are paused. Nothing has moved. The issuer will announce when they start again; you need not do anything until then."
        ),
    ),
    Restriction.SENDER_INVALID: Refusal(
        gettext_lazy("The sending address cannot hold securities"),
        gettext_lazy(
            "The sending address cannot hold this security. Nothing has moved. Choose one of your registered wallets and try again."
        ),
    ),
    Restriction.RECEIVER_INVALID: Refusal(
        gettext_lazy("This address cannot receive securities"),
        gettext_lazy(
            "Securities cannot be sent to this address: it is the sending wallet itself, or nobody's address. Nothing has moved. Ask the recipient for the address of their registered wallet."
        ),
    ),
    Restriction.SENDER_NO_SBT: Refusal(
        gettext_lazy("You are not verified yet"),
        gettext_lazy(
            "Your wallet is not verified yet. Nothing has moved. Complete the identity verification and try again."
        ),
    ),
    Restriction.SENDER_PENDING: Refusal(
        gettext_lazy("Your verification is not in force yet"),
        gettext_lazy(
            "Your verification was issued but is not in force yet. Nothing has moved. Try again once the waiting time shown on your verification page is over."
        ),
    ),
    Restriction.SENDER_EXPIRED: Refusal(
        gettext_lazy("Your verification has expired"),
        gettext_lazy(
            "Your verification has expired. Nothing has moved, and what you hold is still yours. Renew the verification and try again."
        ),
    ),
    Restriction.SENDER_SUSPENDED: Refusal(
        gettext_lazy("Your verification is suspended"),
        gettext_lazy(
            "Your verification is suspended. Nothing has moved, and what you hold is still yours. Contact us to find out what is needed."
        ),
    ),
    Restriction.SENDER_ISSUER_DISTRUSTED: Refusal(
        gettext_lazy("Your verification must be confirmed again"),
        gettext_lazy(
            "Your verification was issued with a key that is no longer trusted. Nothing has moved, and what you hold is still yours. We will confirm it again; contact us if it takes longer than a day."
        ),
    ),
    Restriction.SENDER_ATTESTOR_DISTRUSTED: Refusal(
        gettext_lazy("Your verification must be signed again"),
        gettext_lazy(
            "Your verification was signed with a key that is no longer trusted. Nothing has moved, and what you hold is still yours. An officer will sign it again; contact us if it takes longer than a day."
        ),
    ),
    Restriction.RECEIVER_NO_SBT: Refusal(
        gettext_lazy("The recipient is not verified yet"),
        gettext_lazy(
            "The recipient is not verified yet. Nothing has moved. Ask them to complete the identity verification, then try again."
        ),
    ),
    Restriction.RECEIVER_PENDING: Refusal(
        gettext_lazy("The recipient's verification is not in force yet"),
        gettext_lazy(
            "The recipient's verification was issued but is not in force yet. Nothing has moved. Ask them when the waiting time ends, then try again."
        ),
    ),
    Restriction.RECEIVER_EXPIRED: Refusal(
        gettext_lazy("The recipient's verification has expired"),
        gettext_lazy(
            "The recipient's verification has expired. Nothing has moved. Ask them to renew it, then try again."
        ),
    ),
    Restriction.RECEIVER_SUSPENDED: Refusal(
        gettext_lazy("The recipient's verification is suspended"),
        gettext_lazy(
            "The recipient's verification is suspended. Nothing has moved. Ask them to contact us; until it is lifted they cannot receive securities."
        ),
    ),
    Restriction.RECEIVER_ISSUER_DISTRUSTED: Refusal(
        gettext_lazy("The recipient's verification must be confirmed again"),
        gettext_lazy(
            "The recipient's verification was issued with a key that is no longer trusted. Nothing has moved. Ask them to wait until we have confirmed it again, then try again."
        ),
    ),
    Restriction.RECEIVER_ATTESTOR_DISTRUSTED: Refusal(
        gettext_lazy("The recipient's verification must be signed again"),
        gettext_lazy(
            "The recipient's verification was signed with a key that is no longer trusted. Nothing has moved. Ask them to wait until an officer has signed it again, then try again."
        ),
    ),
    Restriction.RECEIVER_NOT_ADMITTED: Refusal(
        gettext_lazy("The recipient is not admitted to this security"),
        gettext_lazy(
            "The recipient is verified but not admitted to this security. Nothing has moved. Ask the issuer to admit them, then try again."
        ),
    ),
    Restriction.ABOVE_BALANCE: Refusal(
        gettext_lazy("More than you hold"),
        gettext_lazy("The amount is more than you hold. Nothing has moved. Enter an amount within your balance."),
    ),
    Restriction.ABOVE_UNFROZEN: Refusal(
        gettext_lazy("Part of the holding is frozen"),
        gettext_lazy(
            "Part of your holding is frozen, and the amount is more than the free part. Nothing has moved. Enter an amount within the free part, or contact the issuer about the frozen part."
        ),
    ),
    Restriction.SENDER_IN_RECOVERY: Refusal(
        gettext_lazy("This wallet is being replaced"),
        gettext_lazy(
            "A recovery of this wallet has been announced, so nothing may leave it. Nothing has moved. If you did not ask for the recovery, object to it at once and contact us."
        ),
    ),
    Restriction.LOCK_UP: Refusal(
        gettext_lazy("The lock-up has not ended"),
        gettext_lazy(
            "The lock-up of this security has not ended. Nothing has moved. Try again after the lock-up date in the terms."
        ),
    ),
    Restriction.RECORD_DATE_FREEZE: Refusal(
        gettext_lazy("Closed around the record date"),
        gettext_lazy(
            "Transfers are closed around the record date of this security. Nothing has moved. Try again when the record date has passed."
        ),
    ),
    Restriction.QII_ONLY: Refusal(
        gettext_lazy("For qualified institutional investors only"),
        gettext_lazy(
            "This security may be held by qualified institutional investors only, and the recipient is not one. Nothing has moved. Choose a recipient who is registered as a qualified institutional investor."
        ),
    ),
    Restriction.HOLDER_CAP: Refusal(
        gettext_lazy("The greatest number of holders is reached"),
        gettext_lazy(
            "This security already has as many holders as it may have. Nothing has moved. Transfer to somebody who holds it already, or transfer the whole of your holding."
        ),
    ),
    Restriction.MINIMUM_LOT: Refusal(
        gettext_lazy("Below the minimum lot"),
        gettext_lazy(
            "The amount is below the minimum lot, or would leave less than the minimum lot behind. Nothing has moved. Enter at least the minimum lot, or the whole holding."
        ),
    ),
    Restriction.WHOLE_BALANCE_ONLY: Refusal(
        gettext_lazy("Only the whole holding can be transferred"),
        gettext_lazy(
            "This security can be transferred only as a whole, undivided. Nothing has moved. Enter the whole of your holding."
        ),
    ),
}

STANDINGS: Mapping[Standing, Text] = {
    Standing.EFFECTIVE: gettext_lazy("In force"),
    Standing.NONE: gettext_lazy("Not verified"),
    Standing.PENDING: gettext_lazy("Not in force yet"),
    Standing.EXPIRED: gettext_lazy("Expired"),
    Standing.SUSPENDED: gettext_lazy("Suspended"),
    Standing.ISSUER_DISTRUSTED: gettext_lazy("Must be confirmed again (issuing key no longer trusted)"),
    Standing.ATTESTOR_DISTRUSTED: gettext_lazy("Must be signed again (signing key no longer trusted)"),
}

#: `ChainTransaction.function` without its contract → what it does, as a sentence of the person who asked.
FUNCTIONS: Mapping[str, Text] = {
    "deploy": gettext_lazy("Put a contract on the chain."),
    "issue": gettext_lazy("Issue the verification token to an investor's wallet."),
    "renew": gettext_lazy("Renew an investor's verification token."),
    "suspend": gettext_lazy("Suspend an investor's verification token."),
    "reinstate": gettext_lazy("Put a suspended verification token back in force."),
    "revoke": gettext_lazy("Revoke an investor's verification token for good."),
    "distrust": gettext_lazy("Stop trusting a key from a point in time on."),
    "restoreTrust": gettext_lazy("Trust a key again."),
    "admit": gettext_lazy("Admit verified investors to a security."),
    "dismiss": gettext_lazy("End the admission of investors to a security."),
    "mint": gettext_lazy("Credit newly issued units to an investor."),
    "redeem": gettext_lazy("Redeem units of an investor."),
    "CollateralVault.open": gettext_lazy("Open a deposit address for collateral, or take in what lies there."),
    "CollateralVault.proposeRelease": gettext_lazy("Announce that collateral goes back to its borrower."),
    "CollateralVault.withdrawRelease": gettext_lazy("Take back an announced return of collateral."),
    "CollateralVault.executeRelease": gettext_lazy("Return collateral to its borrower."),
    "CollateralVault.cancelRelease": gettext_lazy("Stop an announced return of collateral."),
    "CollateralVault.recordSale": gettext_lazy("Record how much collateral may be sold."),
    "CollateralVault.withdrawSale": gettext_lazy("Take back what is left of a recorded sale of collateral."),
    "CollateralVault.cancelSale": gettext_lazy("Stop a recorded sale of collateral."),
    "CollateralVault.executeSale": gettext_lazy("Send collateral to be sold."),
    "CollateralVault.pause": gettext_lazy("Pause returns and sales of collateral."),
    "CollateralVault.unpause": gettext_lazy("Let returns and sales of collateral go on."),
    "CollateralVault.announceBorrowerChange": gettext_lazy("Announce another address of a borrower."),
    "CollateralVault.applyBorrowerChange": gettext_lazy("Put the announced address of a borrower in force."),
    "CollateralVault.cancelBorrowerChange": gettext_lazy("Cancel the change of a borrower's address."),
    "CollateralVault.announceSaleAddress": gettext_lazy("Announce another address for sold collateral."),
    "CollateralVault.applySaleAddress": gettext_lazy("Put the announced address for sold collateral in force."),
    "CollateralVault.cancelSaleAddress": gettext_lazy("Cancel the change of the address for sold collateral."),
    "CollateralVault.setLimits": gettext_lazy("Set the daily limits of collateral."),
    "DemoPriceFeed.set": gettext_lazy("Set a simulated price."),
    "transfer": gettext_lazy("Transfer units from one investor to another."),
    "transferFrom": gettext_lazy("Transfer units on behalf of their holder."),
    "forcedTransfer": gettext_lazy("Move units by decision of the controller."),
    "setFrozenTokens": gettext_lazy("Set how many units of a holding are frozen."),
    "pause": gettext_lazy("Pause all transfers of a security."),
    "unpause": gettext_lazy("Let transfers of a security start again."),
    "announceRecovery": gettext_lazy("Announce that a lost wallet is replaced by another of the same person."),
    "objectToRecovery": gettext_lazy("Object to the announced replacement of a wallet."),
    "recover": gettext_lazy("Move a holding from a lost wallet to its replacement."),
    "setTargetFunctionRole": gettext_lazy("Set which role may call a function."),
    "grantRole": gettext_lazy("Grant a role on the chain."),
    "revokeRole": gettext_lazy("Take a role on the chain away."),
    "execTransaction": gettext_lazy("Carry out what enough officers have signed."),
    "execute": gettext_lazy("Carry out a change of the admin whose waiting time is over."),
    "cancel": gettext_lazy("Cancel an announced operation."),
    "createProxyWithNonce": gettext_lazy("Set up a Safe of several officers."),
    "renounceRole": gettext_lazy("Give up a role on the chain."),
    "multicall": gettext_lazy("Carry out several steps in one transaction."),
}
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ERROR = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\)$")
#: Errors that name one entry of a batch, by its place from zero.
_ENTRY_ERROR = re.compile(r"^SecurityToken_(?:EntryRestricted|InvalidEntry)\((?P<index>\d+), ")


def function_sentence(function: str) -> str:
    """What `Contract.function` does, in a sentence; an unknown one is named as it is."""
    contract, _separator, name = function.rpartition(".")
    if name in ("constructor", "deploy", "") or (not contract and name[:1].isupper()):
        return str(FUNCTIONS["deploy"])
    known = (
        FUNCTIONS.get(function)
        or FUNCTIONS.get(name)
        or next((text for key, text in FUNCTIONS.items() if key in _stems(name)), None)
    )
    return str(known) if known else _("Call the contract function “%(function)s”.") % {"function": function}


def _stems(name: str) -> set[str]:
    """`issueSbt` and `admitBatch` are read as `issue` and `admit`."""
    return {_WORD.split(name)[0]} if name else set()


def restriction_of_error(error_code: str) -> Restriction | None:
    """The restriction inside a decoded error such as `SecurityToken_Restricted(30)`; None for any other error.

    It stands last: `SecurityToken_EntryRestricted(0, 0x…, 30)` has the entry's place and whose it is before it.
    """
    match = _ERROR.match(error_code)
    if not match or not match["name"].endswith("Restricted"):
        return None
    last = match["arguments"].rpartition(",")[2].strip()
    known = {str(int(restriction)): restriction for restriction in Restriction}
    return known.get(last)


#: How the engine itself words an end, by the beginning of `error_code`.
ENGINE_REFUSALS: Mapping[str, Text] = {
    "withdrawn": gettext_lazy("It was withdrawn before it was sent. Nothing has moved."),
    "dependency did not happen": gettext_lazy(
        "A step that had to come first did not happen. Nothing has moved. Look at that step, then ask again."
    ),
    "its nonce was used by another transaction": gettext_lazy(
        "Another transaction took its place on the chain. Nothing of it has moved. Please ask again."
    ),
    "policy:": gettext_lazy("The signing key may not be used for this. Nothing has moved. Contact us."),
    "out of gas": gettext_lazy(
        "The contract needed more computing than was allowed for. Nothing has moved. Please ask again."
    ),
}
_IMPOSSIBLE_AMOUNT = gettext_lazy(
    "The number of units is zero, or more than there can be. Nothing has moved. Correct it and ask again."
)
#: Errors of the contracts that are no restriction and have words of their own, by name.
CONTRACT_REFUSALS: Mapping[str, Text] = {
    "SecurityToken_InvalidAmount": _IMPOSSIBLE_AMOUNT,
    "SecurityToken_InvalidEntry": _IMPOSSIBLE_AMOUNT,
}


def error_sentence(error_code: str) -> str:
    """A refusal for a person: which entry of a batch it is about, if it is about one, and why."""
    entry = _ENTRY_ERROR.match(error_code)
    if entry is None:
        return _why_refused(error_code)
    # People count from one.
    return _("Entry %(number)s: %(sentence)s") % {
        "number": int(entry["index"]) + 1,
        "sentence": _why_refused(error_code),
    }


def _why_refused(error_code: str) -> str:
    """The restriction in words when it is one, else what the engine or, calmly, the contract said."""
    restriction = restriction_of_error(error_code)
    if restriction is not None:
        return str(RESTRICTIONS[restriction].sentence)
    known = CONTRACT_REFUSALS.get(error_code.partition("(")[0]) or next(
        (text for start, text in ENGINE_REFUSALS.items() if error_code.startswith(start)), None
    )
    if known is not None:
        return str(known)
    return _("The contract refused this step. Nothing has moved. Contact us and quote the code beneath.")


# --- events -------------------------------------------------------------------------------------------------

_ZERO = "0x" + "0" * 40

#: (contract, event) → what happened. Placeholders are the event's arguments.
EVENTS: Mapping[tuple[str, str], Text] = {
    ("SecurityToken", "Transfer"): ngettext_lazy(
        "%(value)s unit moved from %(from)s to %(to)s.", "%(value)s units moved from %(from)s to %(to)s.", "number"
    ),
    ("SecurityToken", "Frozen"): ngettext_lazy(
        "%(amount)s unit of %(account)s is now frozen.", "%(amount)s units of %(account)s are now frozen.", "number"
    ),
    ("SecurityToken", "Admitted"): gettext_lazy("%(holder)s was admitted to this security."),
    ("SecurityToken", "Dismissed"): gettext_lazy("The admission of %(holder)s to this security ended."),
    ("SecurityToken", "Paused"): gettext_lazy("Transfers of this security were paused."),
    ("SecurityToken", "Unpaused"): gettext_lazy("Transfers of this security may go on."),
    ("SecurityToken", "AuthorisedAmountRaised"): ngettext_lazy(
        "%(authorised)s unit may now be outstanding.", "%(authorised)s units may now be outstanding.", "number"
    ),
    ("SecurityToken", "AuthorisedAmountLowered"): ngettext_lazy(
        "%(authorised)s unit may now be outstanding.", "%(authorised)s units may now be outstanding.", "number"
    ),
    ("SecurityToken", "ForcedTransfer"): ngettext_lazy(
        "The controller moved %(amount)s unit from %(from)s to %(to)s.",
        "The controller moved %(amount)s units from %(from)s to %(to)s.",
        "number",
    ),
    ("SecurityToken", "ForcedTransferReason"): ngettext_lazy(
        "The controller recorded a reason for moving %(amount)s unit.",
        "The controller recorded a reason for moving %(amount)s units.",
        "number",
    ),
    ("SecurityToken", "Redeemed"): ngettext_lazy(
        "%(amount)s unit of %(holder)s was redeemed.", "%(amount)s units of %(holder)s were redeemed.", "number"
    ),
    ("SecurityToken", "RedemptionReversed"): ngettext_lazy(
        "%(amount)s redeemed unit was given back to %(holder)s.",
        "%(amount)s redeemed units were given back to %(holder)s.",
        "number",
    ),
    ("SecurityToken", "Burned"): ngettext_lazy(
        "%(amount)s unit credited by mistake to %(holder)s was taken back.",
        "%(amount)s units credited by mistake to %(holder)s were taken back.",
        "number",
    ),
    ("SecurityToken", "RecoveryAnnounced"): gettext_lazy(
        "It was announced that the wallet %(lost)s is replaced by %(replacement)s."
    ),
    ("SecurityToken", "RecoveryObjected"): gettext_lazy(
        "The wallet %(lost)s objected to its replacement by %(replacement)s."
    ),
    ("SecurityToken", "RecoveryCancelled"): gettext_lazy(
        "The replacement of the wallet %(lost)s by %(replacement)s was called off."
    ),
    ("SecurityToken", "RecoveryCompleted"): ngettext_lazy(
        "%(amount)s unit moved from the lost wallet %(lost)s to its replacement %(replacement)s.",
        "%(amount)s units moved from the lost wallet %(lost)s to its replacement %(replacement)s.",
        "number",
    ),
    ("SecurityToken", "TransferFreezeSet"): gettext_lazy("The time around the record date without transfers was set."),
    ("SecurityToken", "DocumentRecorded"): gettext_lazy("The document “%(name)s” was recorded."),
    ("SecurityToken", "LimitsSet"): gettext_lazy("The daily limits of this security were set."),
    ("SecurityToken", "Approval"): ngettext_lazy(
        "%(owner)s lets %(spender)s move up to %(value)s unit.",
        "%(owner)s lets %(spender)s move up to %(value)s units.",
        "number",
    ),
    ("InvestorSBT", "SbtIssued"): gettext_lazy("A verification token was issued to %(holder)s."),
    ("InvestorSBT", "SbtRenewed"): gettext_lazy("The verification token of %(holder)s was renewed."),
    ("InvestorSBT", "SbtSuspended"): gettext_lazy("The verification token of %(holder)s was suspended."),
    ("InvestorSBT", "SbtReinstated"): gettext_lazy(
        "The suspension of the verification token of %(holder)s was lifted."
    ),
    ("InvestorSBT", "SbtRevoked"): gettext_lazy("The verification token of %(holder)s was revoked."),
    ("InvestorSBT", "Transfer"): gettext_lazy("The verification token no. %(tokenId)s was created or ended."),
    ("InvestorSBT", "Issued"): gettext_lazy("The verification token can be ended by its issuer only."),
    ("InvestorSBT", "Locked"): gettext_lazy("The verification token is bound to its wallet for good."),
    ("InvestorSBT", "KeyDistrusted"): gettext_lazy("The key %(key)s is no longer trusted."),
    ("InvestorSBT", "KeyTrustRestored"): gettext_lazy("The key %(key)s is trusted again."),
    ("InvestorSBT", "AttestationVoided"): gettext_lazy("The officer's key %(attestor)s withdrew an unused signature."),
    ("InvestorSBT", "IssuancePaused"): gettext_lazy("Issuing verification tokens was paused."),
    ("InvestorSBT", "IssuanceResumed"): gettext_lazy("Verification tokens may be issued again."),
    ("InvestorSBT", "ActivationDelaySet"): gettext_lazy("The waiting time before a verification token counts was set."),
    ("InvestorSBT", "IssuanceLimitSet"): gettext_lazy(
        "The daily limit of verification tokens was set to %(limitPerDay)s."
    ),
    ("InvestorSBT", "AttestorCodeAllowed"): gettext_lazy("Which contracts may sign for officers was changed."),
    ("AccessManager", "RoleGranted"): gettext_lazy("%(account)s received the role no. %(roleId)s."),
    ("AccessManager", "RoleRevoked"): gettext_lazy("%(account)s lost the role no. %(roleId)s."),
    ("AccessManager", "RoleLabel"): gettext_lazy("The role no. %(roleId)s was named “%(label)s”."),
    ("AccessManager", "RoleAdminChanged"): gettext_lazy("Who administers the role no. %(roleId)s was changed."),
    ("AccessManager", "RoleGuardianChanged"): gettext_lazy("Who may cancel for the role no. %(roleId)s was changed."),
    ("AccessManager", "RoleGrantDelayChanged"): gettext_lazy(
        "The waiting time of grants of the role no. %(roleId)s was changed."
    ),
    ("AccessManager", "TargetFunctionRoleUpdated"): gettext_lazy("Which role may call a function was set."),
    ("AccessManager", "TargetAdminDelayUpdated"): gettext_lazy(
        "The waiting time of a contract's administration was set."
    ),
    ("AccessManager", "TargetClosed"): gettext_lazy("A contract was closed or opened."),
    ("AccessManager", "OperationScheduled"): gettext_lazy("%(caller)s announced an operation that needs waiting time."),
    ("AccessManager", "OperationExecuted"): gettext_lazy("An announced operation was carried out."),
    ("AccessManager", "OperationCanceled"): gettext_lazy("An announced operation was cancelled."),
    ("TimelockController", "CallScheduled"): ngettext_lazy(
        "The admin announced a change; it waits %(delay)s second.",
        "The admin announced a change; it waits %(delay)s seconds.",
        "number",
    ),
    ("TimelockController", "CallExecuted"): gettext_lazy("A change that the admin had announced was carried out."),
    ("TimelockController", "Cancelled"): gettext_lazy("A change that the admin had announced was cancelled."),
    ("TimelockController", "MinDelayChange"): ngettext_lazy(
        "The waiting time of the admin's changes went from %(oldDuration)s to %(newDuration)s second.",
        "The waiting time of the admin's changes went from %(oldDuration)s to %(newDuration)s seconds.",
        "number",
    ),
    ("TimelockController", "RoleAdminChanged"): gettext_lazy("Who may change the members of the timelock was changed."),
    ("TimelockController", "RoleGranted"): gettext_lazy("%(account)s may now act in the timelock."),
    ("TimelockController", "RoleRevoked"): gettext_lazy("%(account)s may no longer act in the timelock."),
    ("Safe", "SafeSetup"): ngettext_lazy(
        "A Safe was set up; %(threshold)s officer must sign.",
        "A Safe was set up; %(threshold)s officers must sign.",
        "number",
    ),
    ("Safe", "ExecutionSuccess"): gettext_lazy("What enough officers of a Safe had signed was carried out."),
    ("Safe", "ExecutionFailure"): gettext_lazy("What officers of a Safe had signed did not go through."),
    ("Safe", "AddedOwner"): gettext_lazy("%(owner)s became an officer of a Safe."),
    ("Safe", "RemovedOwner"): gettext_lazy("%(owner)s is no longer an officer of a Safe."),
    ("Safe", "ChangedThreshold"): ngettext_lazy(
        "Now %(threshold)s officer of a Safe must sign.", "Now %(threshold)s officers of a Safe must sign.", "number"
    ),
    ("Safe", "ApproveHash"): gettext_lazy("%(owner)s approved an operation of a Safe on the chain."),
    ("Safe", "EnabledModule"): gettext_lazy("%(module)s may now act for a Safe without its officers."),
    ("Safe", "DisabledModule"): gettext_lazy("%(module)s may no longer act for a Safe."),
    ("Safe", "ExecutionFromModuleSuccess"): gettext_lazy("%(module)s acted for a Safe without its officers."),
    ("Safe", "ExecutionFromModuleFailure"): gettext_lazy("%(module)s tried to act for a Safe without its officers."),
    ("Safe", "ChangedFallbackHandler"): gettext_lazy("What answers for a Safe was changed."),
    ("Safe", "ChangedGuard"): gettext_lazy("What checks a Safe's operations was changed."),
    ("Safe", "SafeReceived"): gettext_lazy("A Safe received ETH from %(sender)s."),
    ("SafeProxyFactory", "ProxyCreation"): gettext_lazy("A Safe was made at %(proxy)s."),
    ("CollateralVault", "AccountOpened"): gettext_lazy(
        "The deposit address %(depositAddress)s for collateral of %(borrower)s was opened."
    ),
    ("CollateralVault", "Deposited"): gettext_lazy("%(amount)s ETH of collateral came in from %(from)s."),
    ("CollateralVault", "ReleaseProposed"): gettext_lazy(
        "It was announced that %(amount)s ETH of collateral go back to the borrower."
    ),
    ("CollateralVault", "ReleaseCancelled"): gettext_lazy("An announced return of collateral was cancelled."),
    ("CollateralVault", "Released"): gettext_lazy("%(amount)s ETH of collateral went back to %(to)s."),
    ("CollateralVault", "SaleRecorded"): gettext_lazy("A sale of up to %(amount)s ETH of collateral was recorded."),
    ("CollateralVault", "SaleCancelled"): gettext_lazy("What was left of a recorded sale of collateral was cancelled."),
    ("CollateralVault", "Sold"): gettext_lazy("%(amount)s ETH of collateral were sent to %(to)s to be sold."),
    ("CollateralVault", "BorrowerChangeAnnounced"): gettext_lazy(
        "It was announced that collateral of %(borrower)s will be returned to %(next)s."
    ),
    ("CollateralVault", "BorrowerChangeObjected"): gettext_lazy(
        "%(borrower)s objected to the change of their address to %(next)s."
    ),
    ("CollateralVault", "BorrowerChangeCancelled"): gettext_lazy("The change of a borrower's address was cancelled."),
    ("CollateralVault", "BorrowerChanged"): gettext_lazy(
        "Collateral of %(borrower)s is returned to %(next)s from now on."
    ),
    ("CollateralVault", "SaleAddressAnnounced"): gettext_lazy(
        "It was announced that sold collateral will go to %(next)s."
    ),
    ("CollateralVault", "SaleAddressCancelled"): gettext_lazy(
        "The change of the address for sold collateral was cancelled."
    ),
    ("CollateralVault", "SaleAddressChanged"): gettext_lazy("Sold collateral goes to %(next)s from now on."),
    ("CollateralVault", "Paused"): gettext_lazy("Returns and sales of collateral were paused."),
    ("CollateralVault", "Unpaused"): gettext_lazy("Returns and sales of collateral may go on."),
    ("CollateralVault", "VaultLimitsSet"): gettext_lazy(
        "The daily limits of collateral were set: %(releaseLimitPerDay)s ETH returned, %(saleLimitPerDay)s ETH sold."
    ),
    ("DemoPriceFeed", "AnswerUpdated"): gettext_lazy("A simulated price was set to %(current)s."),
}
_UNSEEN = gettext_lazy("%(amount)s ETH of collateral came in; who paid is not known.")
_MINTED = ngettext_lazy(
    "%(value)s new unit was credited to %(to)s.", "%(value)s new units were credited to %(to)s.", "number"
)
_BURNED = ngettext_lazy(
    "%(value)s unit of %(from)s was taken out of circulation.",
    "%(value)s units of %(from)s were taken out of circulation.",
    "number",
)
_ETHER = frozenset({"amount", "releaseLimitPerDay", "saleLimitPerDay"})
_AMOUNTS = frozenset({"value", "amount", "authorised", "limitPerDay"})
_COUNTED = ("value", "amount", "authorised", "threshold", "delay", "newDuration")  #: what a plural goes by, if any


def event_sentence(kind: str, event: str, args: Mapping[str, object], names: Mapping[str, str]) -> str:
    """What an indexed event says, in a sentence. Addresses are named where `names` has one, else shortened."""
    template = _template(kind, event, args)
    if template is None:
        return _("The contract recorded “%(event)s”.") % {"event": event}
    if kind == "CollateralVault":
        args = {name: _ether(value) if name in _ETHER else value for name, value in args.items()}
    number = next((int(text) for text in (str(args.get(name)) for name in _COUNTED) if text.isdigit()), 0)
    return filled(template, {"number": number} | {name: _shown(name, value, names) for name, value in args.items()})


def _ether(value: object) -> str:
    """Wei as ETH, exactly."""
    return f"{Decimal(str(value)).scaleb(-18).normalize():,f}"


def _template(kind: str, event: str, args: Mapping[str, object]) -> Text | None:
    if (kind, event) == ("SecurityToken", "Transfer") and args.get("from") == _ZERO:
        return _MINTED
    if (kind, event) == ("SecurityToken", "Transfer") and args.get("to") == _ZERO:
        return _BURNED
    if (kind, event) == ("CollateralVault", "Deposited") and args.get("from") == _ZERO:
        return _UNSEEN
    return EVENTS.get((code_of(kind), event))


def _shown(name: str, value: object, names: Mapping[str, str]) -> str:
    text = str(value)
    if name in _AMOUNTS and text.isdigit():
        return f"{int(text):,}"
    if text.startswith("0x") and len(text) == 42:
        short = f"{text[:6]}…{text[-4:]}"
        return f"{names[text]} ({short})" if text in names else short
    return text


# --- incidents ----------------------------------------------------------------------------------------------

#: kind → what it means and what to do. The engine's own detail, in English, stands beneath it.
INCIDENTS: Mapping[str, Text] = {
    "chain.history_rewritten": gettext_lazy(
        "The node's chain no longer contains what had been final. Nothing is read until it does: check which node and which chain this installation points to. If the chain was reset on purpose, run the command rebuild_index."
    ),
    "chain.ledger_differs": gettext_lazy(
        "The ledger shown here differs from the chain. The chain is right: do not pay or certify by this ledger until the difference is understood."
    ),
    "chain.event_handler_failed": gettext_lazy(
        "Something that should have followed an event on the chain failed. The event itself is recorded; what should have followed must be done by hand."
    ),
    "chain.gas_funder_empty": gettext_lazy(
        "The account that pays the network's fees has too little ETH. Transactions wait until some is sent to it."
    ),
    "chain.followup_failed": gettext_lazy(
        "What should have followed a transaction failed. It is tried again until it succeeds; a programmer should look at it."
    ),
    "chain.fee_cap_reached": gettext_lazy(
        "A transaction is not taken up even at the highest fee allowed. Wait for fees to fall, or raise the limit."
    ),
    "chain.signer_halted": gettext_lazy(
        "A signing key was halted, because something else seems to use it. Find out what before it may sign again."
    ),
    "chain.estimate_failed": gettext_lazy(
        "The node cannot say what a transaction would cost. It waits, and is tried again."
    ),
    "chain.signer_unavailable": gettext_lazy(
        "A signing key cannot be opened. What needs it waits: check the key store and its password."
    ),
    "chain.policy_violation": gettext_lazy(
        "A signing key was asked for something it may not do. Nothing was signed. Find out who asked."
    ),
}


def incident_sentence(kind: str) -> str:
    """What an incident of this kind means and what to do about it."""
    known = INCIDENTS.get(kind) or next((words[kind] for words in incident_meanings if kind in words), None)
    return str(known) if known else _("Something happened that should not have. A person must look at it.")
