"""Would this transfer go through? The contract's own answer, explained line by line.

The verdict is `detectTransferRestriction` of the contract itself, so the rules are the same by construction. The
lines are explained from the index; where the two differ the contract is right, and its line is corrected. While the
node is down there is no verdict: the lines still stand, and nothing can be sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Min, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chain.exceptions import InvalidAddress, NodeUnavailable
from chain.gateway import gateway, parse_address
from chain.selectors import balances_for, restriction_reason, restriction_sentence, sbts_for, token_state
from chain.types import BalanceView, Category, Restriction, SbtView, Standing
from kyc.selectors import wallets_for
from portal.compiled import Rows, pair
from portal.memo import once_per_request
from portal.models import User
from portal.units import InvalidAmount, format_units, parse_units, plural_number
from tokens.models import TOKYO, AddressBookEntry, Security, Transfer
from tokens.types import Precheck, PrecheckLine

if TYPE_CHECKING:
    from kyc.models import Wallet

R = Restriction
#: Which line of the page a code of the contract speaks of.
_LINE_OF: Final = {
    R.PAUSED: "pause",
    R.SENDER_INVALID: "sender",
    R.SENDER_IN_RECOVERY: "sender",
    R.RECEIVER_INVALID: "address",
    R.RECEIVER_NOT_ADMITTED: "admitted",
    R.ABOVE_BALANCE: "balance",
    R.ABOVE_UNFROZEN: "balance",
    R.LOCK_UP: "lock_up",
    R.RECORD_DATE_FREEZE: "lock_up",
    R.QII_ONLY: "recipient",
    R.HOLDER_CAP: "holders",
    R.MINIMUM_LOT: "lot",
    R.WHOLE_BALANCE_ONLY: "lot",
}
#: Characters of an address that people compare; an imitation matches them and differs in between.
_COMPARED: Final = 4


def line_of(restriction: Restriction) -> str:
    """The key of the line that `restriction` belongs to."""
    if restriction in _LINE_OF:
        return _LINE_OF[restriction]
    return "sender" if restriction < 20 else "recipient"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the index knows about one possible transfer."""

    security: Security
    sender: str
    recipient: str
    units: int
    sender_sbt: SbtView | None
    recipient_sbt: SbtView | None
    sender_balance: BalanceView | None
    recipient_balance: BalanceView | None
    pending_units: int
    paused: bool
    holders: int

    @property
    def held_units(self) -> int:
        return self.sender_balance.units if self.sender_balance else 0

    @property
    def frozen_units(self) -> int:
        return min(self.sender_balance.frozen_units, self.held_units) if self.sender_balance else 0

    @property
    def free_units(self) -> int:
        """Neither frozen nor on their way to somebody already."""
        return max(self.held_units - self.frozen_units - self.pending_units, 0)


def precheck_typed(
    user: User, security: Security, recipient_text: str, amount_text: str, *, sender: str = ""
) -> Precheck:
    """The pre-check of two fields as they are being typed. An empty field is not a mistake yet."""
    if not recipient_text.strip() or not amount_text.strip():
        return Precheck(lines=[], restriction=None, incomplete=True)
    try:
        units = parse_units(amount_text, decimals=security.decimals)
    except InvalidAmount as error:
        line = PrecheckLine("balance", False, str(error.message))
        return Precheck(lines=[line], restriction=None, refusal=_untouched(str(error.message)), code=error.code)
    return precheck(user, security, recipient_text, units, sender=sender)


def precheck(user: User, security: Security, recipient: str, units: int, *, sender: str = "") -> Precheck:
    """Whether `user` may pass `units` base units of `security` from `sender` (default: their custody wallet) to `recipient`.

    Never raises for anything a person can type; never writes. A constant number of queries, one request to the node.
    """
    try:
        address = parse_address(recipient)
    except InvalidAddress as error:
        line = PrecheckLine("address", False, str(error.message))
        return Precheck(
            lines=[line], restriction=None, refusal=_untouched(str(error.message)), code=error.code, units=units
        )
    wallet = sending_wallet(user, security, address=sender)
    blocked = _cannot_start(security, wallet, address, units)
    if blocked is not None or wallet is None:
        return blocked or Precheck(lines=[], restriction=None)
    known = known_addresses(user)
    imitated = "" if address in known else lookalike_of(address, known)
    verdict = _judge(_facts(security, wallet.address, address, units))
    verdict = replace(
        verdict, is_new_recipient=address not in known, recipient_label=known.get(address, ""), lookalike=imitated
    )
    if imitated:
        return _stop_lookalike(verdict)
    return _let_cool_off(verdict, user, address) if verdict.can_send else verdict


def sending_wallet(user: User, security: Security, *, address: str = "") -> Wallet | None:
    """The wallet a transfer would leave from: the person's wallet at `address`, else the custody wallet holding most.

    None for an address that is not theirs, and without a custody wallet.
    """
    if address:
        return next((wallet for wallet in wallets_for(user) if wallet.address == address), None)
    wallets = [wallet for wallet in wallets_for(user) if wallet.signer_id is not None]
    if not wallets:
        return None
    held = {row.holder: row.units for row in balances_for([w.address for w in wallets]) if row.token == security.token}
    return max(wallets, key=lambda wallet: held.get(wallet.address, 0))


def known_addresses(user: User) -> dict[str, str]:
    """Addresses this person knows, with their own name for them: address book, own wallets, past recipients.

    Who sent something *to* them does not count: that is how an imitation gets in front of people.
    """
    known = dict.fromkeys(_sent_to(user.pk), "")
    known |= {wallet.address: _("Your own wallet") for wallet in wallets_for(user)}
    return known | labels_of(user)


#: Each once, however often something was sent there: without an order, or the database would tell the transfers apart.
_sent_to: Final = Rows(
    lambda user: (
        Transfer.objects.filter(requested_by=user, state=Transfer.State.FINAL)
        .order_by()
        .values_list("recipient")
        .distinct()
    ),
    str,
)


@once_per_request
def labels_of(user: User) -> dict[str, str]:
    """The names in this person's address book, by address; read once per page."""
    return dict(_labels(user.pk))


_labels: Final = Rows(lambda user: AddressBookEntry.objects.filter(user=user).values_list("address", "label"), pair)


def known_since(user: User, address: str) -> datetime | None:
    """Since when this person has this recipient: saved in the address book, or first sent to; None if they have not.

    A wallet the platform keeps for them counts as known always; one of their own since it was added.
    """
    wallet = next((wallet for wallet in wallets_for(user) if wallet.address == address), None)
    if wallet is not None:
        return wallet.created_at if wallet.signer_id is None else datetime.min.replace(tzinfo=UTC)
    saved = AddressBookEntry.objects.filter(user=user, address=address).values_list("created_at", flat=True).first()
    sent = Transfer.objects.filter(requested_by=user, recipient=address, state=Transfer.State.FINAL)
    first = sent.aggregate(at=Min("ended_at"))["at"]
    return min((at for at in (saved, first) if at is not None), default=None)


def _let_cool_off(verdict: Precheck, user: User, address: str) -> Precheck:
    """Refuse a recipient that is not known for long enough (`RECIPIENT_COOLING_OFF`; zero switches it off)."""
    if not settings.RECIPIENT_COOLING_OFF:
        return verdict
    since = known_since(user, address)
    if since is None:
        return replace(
            verdict,
            refusal=_(
                "You have not saved this recipient yet. Nothing has moved. Save them in your address book; you can send "
                "to them after the waiting time, which protects you if somebody else uses your account."
            ),
            code="tokens.transfer.recipient_not_saved",
        )
    until = since + settings.RECIPIENT_COOLING_OFF if since.year > 1 else since
    if until <= timezone.now():
        return verdict
    return replace(
        verdict,
        refusal=_(
            "You saved this recipient a short while ago. Nothing has moved. You can send to them when the waiting time is "
            "over; if it was not you who saved them, contact us at once."
        ),
        code="tokens.transfer.recipient_cooling_off",
        wait_until=until,
    )


def lookalike_of(address: str, known: dict[str, str]) -> str:
    """The known address whose first and last characters `address` repeats without being it; "" if none."""
    ends = _ends(address)
    return next((other for other in known if other.lower() != address.lower() and _ends(other) == ends), "")


def _ends(address: str) -> tuple[str, str]:
    digits = address[2:].lower()
    return digits[:_COMPARED], digits[-_COMPARED:]


def _stop_lookalike(verdict: Precheck) -> Precheck:
    return replace(
        verdict,
        refusal=_(
            "This address begins and ends like one you know, but it is a different one. Nothing has moved. Compare "
            "both in full. If you really mean the new one, save it in your address book first."
        ),
        code="tokens.transfer.lookalike",
    )


def _cannot_start(security: Security, wallet: Wallet | None, recipient: str, units: int) -> Precheck | None:
    """Refusals before any rule of the contract is asked."""

    def refuse(key: str, sentence: str, code: str) -> Precheck:
        return Precheck(
            lines=[PrecheckLine(key, False, sentence)],
            restriction=None,
            refusal=_untouched(sentence),
            code=code,
            recipient=recipient,
            units=units,
        )

    if security.token is None or not security.is_on_chain:
        return refuse("pause", _("This security is not issued yet."), "tokens.transfer.not_on_chain")
    if wallet is None:
        return refuse(
            "sender",
            _("The platform keeps no wallet for you, so it cannot send. Use your own wallet."),
            "tokens.transfer.no_custody_wallet",
        )
    if recipient == wallet.address:
        return refuse("address", _("This is the wallet you are sending from."), "tokens.transfer.to_self")
    if units <= 0:
        return refuse("balance", _("The amount must be more than zero."), "amount.not_positive")
    return None


def _untouched(sentence: str) -> str:
    return _("%(sentence)s Nothing has moved.") % {"sentence": sentence}


def _facts(security: Security, sender: str, recipient: str, units: int) -> Facts:
    token = security.token or ""
    sbts = sbts_for([sender, recipient])
    balances = {row.holder: row for row in balances_for([sender, recipient]) if row.token == token}
    state = token_state(token)
    # What an own wallet has not signed yet is not on its way.
    on_its_way = Q(state=Transfer.State.SUBMITTED) | Q(state=Transfer.State.REQUESTED, outside__isnull=True)
    pending = Transfer.objects.filter(on_its_way, security=security, sender=sender).aggregate(total=Sum("units"))[
        "total"
    ]
    return Facts(
        security=security,
        sender=sender,
        recipient=recipient,
        units=units,
        sender_sbt=sbts.get(sender),
        recipient_sbt=sbts.get(recipient),
        sender_balance=balances.get(sender),
        recipient_balance=balances.get(recipient),
        pending_units=int(pending or 0),
        paused=state.paused,
        holders=state.holders,
    )


def _judge(facts: Facts) -> Precheck:
    token = facts.security.token or ""
    lines = explain(facts)
    try:
        restriction, is_contract = gateway().transfer_verdict(token, facts.sender, facts.recipient, facts.units)
    except NodeUnavailable:
        return Precheck(
            lines=lines,
            restriction=None,
            refusal=_(
                "The pre-check cannot answer now: the chain cannot be reached. Nothing has moved. Try again in a moment."
            ),
            code="chain.node_unavailable",
            recipient=facts.recipient,
            units=facts.units,
            node_down=True,
        )
    verdict = Precheck(
        lines=_corrected(lines, restriction, is_contract=is_contract),
        restriction=restriction,
        recipient=facts.recipient,
        units=facts.units,
    )
    return _with_refusal(verdict, facts, restriction, is_contract=is_contract)


def _with_refusal(verdict: Precheck, facts: Facts, restriction: Restriction, *, is_contract: bool) -> Precheck:
    if is_contract:
        return replace(
            verdict,
            refusal=_(
                "The recipient is a contract, not a person's wallet. Nothing has moved. Ask them for the address of their wallet."
            ),
            code="tokens.transfer.recipient_is_contract",
        )
    if restriction is not Restriction.NONE:
        return replace(
            verdict,
            refusal=restriction_sentence(restriction),
            code=f"tokens.transfer.restricted_{restriction.name.lower()}",
        )
    if facts.units > facts.free_units:
        return replace(
            verdict,
            refusal=_(
                "Part of your holding is already on its way to somebody else. Nothing more has moved. Wait until that "
                "transfer is in a block, or enter a smaller amount."
            ),
            code="tokens.transfer.pending_outgoing",
        )
    return verdict


def _corrected(lines: list[PrecheckLine], restriction: Restriction, *, is_contract: bool) -> list[PrecheckLine]:
    """The lines as the contract sees them: 0 means none of its rules stands in the way."""
    wrong = line_of(restriction) if restriction is not Restriction.NONE else None
    corrected = []
    for line in lines:
        if line.key == wrong:
            line = PrecheckLine(line.key, False, restriction_reason(restriction))
        elif line.key == "address":
            line = _address_line(is_contract=is_contract)
        elif restriction is Restriction.NONE and line.ok is False and line.key != "balance":
            line = PrecheckLine(line.key, True, _("The contract has no objection here."))
        corrected.append(line)
    if wrong is not None and all(line.key != wrong for line in corrected):
        corrected.append(PrecheckLine(wrong, False, restriction_reason(restriction)))
    return corrected


def _address_line(*, is_contract: bool | None) -> PrecheckLine:
    if is_contract is None:
        return PrecheckLine(
            "address", None, _("The address is written correctly. Whether it is a wallet cannot be checked now.")
        )
    if is_contract:
        return PrecheckLine("address", False, _("The address belongs to a contract, not to a person's wallet."))
    return PrecheckLine("address", True, _("The address is written correctly and belongs to a wallet."))


def explain(facts: Facts) -> list[PrecheckLine]:
    """Every question with its answer from the index alone, in the order people ask them."""
    lines = [
        _address_line(is_contract=None),
        _sender_line(facts),
        _recipient_line(facts),
        _admitted_line(facts),
        _balance_line(facts),
        _lot_line(facts),
        _lock_up_line(facts),
    ]
    if facts.security.holder_cap:
        lines.append(_holders_line(facts))
    lines.append(_pause_line(facts))
    return lines


def _sender_line(facts: Facts) -> PrecheckLine:
    standing = facts.sender_sbt.standing if facts.sender_sbt else Standing.NONE
    if standing is Standing.EFFECTIVE:
        return PrecheckLine("sender", True, _("You are verified."))
    return PrecheckLine("sender", False, restriction_reason(Restriction(10 + standing)))


def _recipient_line(facts: Facts) -> PrecheckLine:
    sbt = facts.recipient_sbt
    standing = sbt.standing if sbt else Standing.NONE
    if sbt is None or standing is not Standing.EFFECTIVE:
        return PrecheckLine("recipient", False, restriction_reason(Restriction(20 + standing)))
    if facts.security.is_qii_only and not sbt.categories & Category.QUALIFIED_INSTITUTIONAL:
        return PrecheckLine("recipient", False, restriction_reason(Restriction.QII_ONLY))
    return PrecheckLine("recipient", True, _("The recipient is verified."))


def _admitted_line(facts: Facts) -> PrecheckLine:
    if facts.recipient_balance is not None and facts.recipient_balance.is_admitted:
        return PrecheckLine("admitted", True, _("The recipient is admitted to this security."))
    return PrecheckLine("admitted", False, restriction_reason(Restriction.RECEIVER_NOT_ADMITTED))


def _balance_line(facts: Facts) -> PrecheckLine:
    decimals = facts.security.decimals
    numbers = {
        "free": format_units(facts.free_units, decimals=decimals),
        "frozen": format_units(facts.frozen_units, decimals=decimals),
        "pending": format_units(facts.pending_units, decimals=decimals),
    }
    number = plural_number(facts.free_units, decimals=decimals)
    text = ngettext("You have %(free)s unit free.", "You have %(free)s units free.", number)
    if facts.frozen_units and facts.pending_units:
        text = ngettext(
            "You have %(free)s unit free; frozen: %(frozen)s, on their way: %(pending)s.",
            "You have %(free)s units free; frozen: %(frozen)s, on their way: %(pending)s.",
            number,
        )
    elif facts.frozen_units:
        text = ngettext(
            "You have %(free)s unit free; frozen: %(frozen)s.",
            "You have %(free)s units free; frozen: %(frozen)s.",
            number,
        )
    elif facts.pending_units:
        text = ngettext(
            "You have %(free)s unit free; on their way: %(pending)s.",
            "You have %(free)s units free; on their way: %(pending)s.",
            number,
        )
    return PrecheckLine("balance", facts.units <= facts.free_units, text % numbers)


def _lot_line(facts: Facts) -> PrecheckLine:
    """The contract's lot rule: what is sent must be a lot, and so must what is left, if anything is."""
    security, rest = facts.security, facts.held_units - facts.units
    lot = format_units(security.minimum_lot_units, decimals=security.decimals)
    number = plural_number(security.minimum_lot_units, decimals=security.decimals)
    if security.whole_balance_only:
        return PrecheckLine("lot", rest == 0, _("Only the whole holding can be transferred."))
    fits = facts.units >= security.minimum_lot_units and not 0 < rest < security.minimum_lot_units
    if fits:
        return PrecheckLine("lot", True, _("The amount fits the minimum lot of %(lot)s.") % {"lot": lot})
    text = ngettext(
        "At least %(lot)s unit must be sent and at least as many remain.",
        "At least %(lot)s units must be sent and at least as many remain.",
        number,
    )
    return PrecheckLine("lot", False, text % {"lot": lot})


def _lock_up_line(facts: Facts) -> PrecheckLine:
    until = facts.security.lock_up_until
    if until is not None and timezone.now().astimezone(TOKYO).date() < until:
        return PrecheckLine("lock_up", False, _("The lock-up ends on %(date)s.") % {"date": until.isoformat()})
    return PrecheckLine("lock_up", True, _("No lock-up stands in the way."))


def _holders_line(facts: Facts) -> PrecheckLine:
    receives_first = facts.recipient_balance is None or facts.recipient_balance.units == 0
    leaves = facts.units == facts.held_units
    full = facts.holders - leaves + receives_first > facts.security.holder_cap
    if full:
        return PrecheckLine("holders", False, restriction_reason(Restriction.HOLDER_CAP))
    return PrecheckLine("holders", True, _("The number of holders stays within the limit."))


def _pause_line(facts: Facts) -> PrecheckLine:
    if facts.paused:
        return PrecheckLine("pause", False, restriction_reason(Restriction.PAUSED))
    return PrecheckLine("pause", True, _("Transfers are not paused."))
