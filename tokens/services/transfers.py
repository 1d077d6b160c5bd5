"""Passing units on from a wallet whose key the platform keeps, and the address book beside it."""

from __future__ import annotations

import csv
import io
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chain import operations
from chain.gateway import parse_address
from chain.services import enqueue, expect, report_hash, withdraw
from kyc.selectors import wallets_for
from portal import audit
from portal.exceptions import DomainError
from portal.models import User
from portal.notices.services import notify
from portal.units import format_units
from tokens.exceptions import FormReused, TransferRefused
from tokens.models import AddressBookEntry, Security, Transfer
from tokens.precheck import precheck, sending_wallet
from tokens.types import WalletCall

SUBJECT: Final = "tokens.transfer"
#: What follows a transfer that the holder's own wallet sends.
OWN: Final = "tokens.own_transfer"
#: Rows of one address book file.
MAX_ROWS: Final = 500


def request_transfer(
    *, security_id: int, actor: User, recipient: str, units: int, form_token: UUID, sender: str = ""
) -> Transfer:
    """Move `units` base units of a security from the actor's custody wallet, or from their wallet at `sender`.

    A custody wallet's transfer is asked of the chain. One from an own wallet waits for that wallet to send it.

    The pre-check runs again first; what it refuses is never put in the outbox (`TransferRefused`, with its sentence
    and code; `NodeUnavailable` while the node cannot answer). The transfer and its outbox row are written in one
    transaction. The same form token is the same transfer; with other contents it raises `FormReused`.
    """
    security = Security.objects.get(pk=security_id)
    asked = (sender, recipient, units)
    known = _same_form(security, actor, *asked, form_token)
    if known is not None:
        return known
    verdict = precheck(actor, security, recipient, units, sender=sender)
    if not verdict.can_send:
        raise TransferRefused(verdict.refusal, code=verdict.code, restriction=verdict.restriction)
    try:
        with transaction.atomic():
            return _create(security, actor, sender, verdict.recipient, units, form_token)
    except IntegrityError:
        # A second click won the race: its transfer is this one.
        known = _same_form(security, actor, *asked, form_token)
        if known is None:
            raise
        return known


def _create(security: Security, actor: User, sender: str, recipient: str, units: int, form_token: UUID) -> Transfer:
    wallet = sending_wallet(actor, security, address=sender)
    if wallet is None or security.token is None:
        raise ValueError("the pre-check lets only a wallet of one's own and a security on the chain through")
    transfer = Transfer.objects.create(
        security=security,
        requested_by=actor,
        sender=wallet.address,
        recipient=recipient,
        units=units,
        form_token=form_token,
    )
    call, subject = operations.transfer(security.token, recipient, units), f"{SUBJECT}:{transfer.pk}"
    if wallet.signer is None:
        transfer.outside = expect(call=call, sender=wallet.address, purpose=OWN, subject=subject)
    else:
        transfer.transaction = enqueue(
            call=call, signer=wallet.signer, idempotency_key=subject, purpose="tokens.transfer", subject=subject
        )
    transfer.save(update_fields=["transaction", "outside"])
    notify(
        user=actor,
        kind="tokens.transfer_requested",
        params=notice_params(transfer, counterparty=recipient),
        key=transfer.pk,
        path=f"/tokens/transfers/{transfer.pk}/",
    )
    audit.record(
        action=f"{SUBJECT}.requested",
        subject_type=SUBJECT,
        subject_id=transfer.pk,
        actor=actor,
        to_state=transfer.state,
        data={"security": security.pk, "sender": wallet.address, "recipient": recipient, "units": str(units)},
    )
    return transfer


def call_for_wallet(*, transfer_id: int, actor: User) -> WalletCall:
    """What to send now; the pre-check runs once more first. Raises `TransferRefused` when it is not to be sent any more."""
    transfer = _own_transfer(transfer_id, actor)
    if transfer.state not in (Transfer.State.REQUESTED, Transfer.State.NOT_SENT) or transfer.outside is None:
        raise TransferRefused(
            _("This transfer was sent already. Nothing was sent again. Reload the page to see where it stands."),
            code="tokens.transfer.already_sent",
        )
    verdict = precheck(actor, transfer.security, transfer.recipient, transfer.units, sender=transfer.sender)
    if not verdict.can_send:
        raise TransferRefused(verdict.refusal, code=verdict.code, restriction=verdict.restriction)
    return WalletCall(sender=transfer.sender, to=transfer.outside.to, data=bytes(transfer.outside.data))


def report_transfer(*, transfer_id: int, actor: User, transaction_hash: str) -> Transfer:
    """The hash under which the actor's wallet sent it. Raises `NotThisTransaction` for a hash of something else."""
    transfer = _own_transfer(transfer_id, actor)
    report_hash(outside_id=_outside_id(transfer), transaction_hash=transaction_hash, actor=actor)
    transfer.refresh_from_db()
    return transfer


def give_up_transfer(*, transfer_id: int, actor: User) -> Transfer:
    """REQUESTED → NOT_SENT: the own wallet is not to send it. Raises `WrongState` once it was sent."""
    transfer = _own_transfer(transfer_id, actor)
    withdraw(outside_id=_outside_id(transfer), actor=actor)
    transfer.refresh_from_db()
    return transfer


def _own_transfer(transfer_id: int, actor: User) -> Transfer:
    return Transfer.objects.select_related("security", "outside").get(pk=transfer_id, requested_by=actor)


def _outside_id(transfer: Transfer) -> int:
    if transfer.outside_id is None:
        raise TransferRefused(
            _("The platform sends this transfer itself. Nothing was recorded."), code="tokens.transfer.not_own_wallet"
        )
    return int(transfer.outside_id)


def notice_params(transfer: Transfer, *, counterparty: str) -> dict[str, Any]:
    """What the notices about a transfer say."""
    security = transfer.security
    return {
        "security": security.name,
        "units": format_units(int(transfer.units), decimals=security.decimals),
        "value": security.value_of(transfer.units).truncated(),
        "counterparty": counterparty,
    }


def _same_form(
    security: Security, actor: User, sender: str, recipient: str, units: int, form_token: UUID
) -> Transfer | None:
    transfer = Transfer.objects.select_related("security").filter(requested_by=actor, form_token=form_token).first()
    if transfer is None:
        return None
    same = (transfer.security_id, transfer.sender, transfer.recipient, transfer.units)
    if same != (security.pk, sender or transfer.sender, parse_address(recipient), units):
        raise FormReused(
            _("This form was already used for another transfer. Nothing new was sent. Start a new transfer."),
            code="tokens.transfer.form_reused",
        )
    return transfer


def save_address(*, actor: User, label: str, address: str) -> AddressBookEntry:
    """Name an address, or rename it. Raises `InvalidAddress`, or `TransferRefused` for one's own wallet."""
    checked = parse_address(address)
    if any(wallet.address == checked for wallet in wallets_for(actor)):
        raise TransferRefused(_("This is your own wallet. Nothing was saved."), code="tokens.address_book.own_wallet")
    if not label.strip():
        raise TransferRefused(
            _("Enter a name for this address. Nothing was saved."), code="tokens.address_book.no_label"
        )
    with transaction.atomic():
        entry, is_new = AddressBookEntry.objects.update_or_create(
            user=actor, address=checked, defaults={"label": label.strip()[:80]}
        )
        if is_new:
            notify(
                user=actor,
                kind="tokens.recipient_added",
                params={"label": entry.label, "address": checked},
                key=entry.pk,
            )
        audit.record(
            action="tokens.address_book.saved",
            subject_type="tokens.address_book",
            subject_id=entry.pk,
            actor=actor,
            data={"address": checked},
        )
    return entry


def import_addresses(*, actor: User, content: bytes) -> int:
    """Save every row of a CSV file with the columns `label` and `address`; all of them or none. How many there were.

    Raises `TransferRefused` with the line that cannot be taken. Each new recipient waits like one saved by hand.
    """
    rows = _address_rows(content)
    with transaction.atomic():
        for line, (label, address) in rows:
            try:
                save_address(actor=actor, label=label, address=address)
            except DomainError as error:
                raise TransferRefused(
                    gettext("Line %(line)s: %(why)s Nothing of the file was saved.")
                    % {"line": line, "why": error.message},
                    code="tokens.address_book.line",
                ) from error
    return len(rows)


def _address_rows(content: bytes) -> list[tuple[int, tuple[str, str]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        names = reader.fieldnames or []
        # What we exported comes back: the apostrophe that keeps a spreadsheet from running a cell is not part of it.
        rows = [
            (reader.line_num, ((row["label"] or "").removeprefix("'"), (row["address"] or "").removeprefix("'")))
            for row in reader
            if "label" in names and "address" in names
        ]
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not 0 < len(rows) <= MAX_ROWS:
        raise TransferRefused(
            gettext(
                "The file needs the columns label and address and at most %(most)s rows, in UTF-8. Nothing was saved."
            )
            % {"most": MAX_ROWS},
            code="tokens.address_book.file",
        )
    return rows


def remove_address(*, actor: User, entry_id: int) -> None:
    """Take an entry of one's own out of the address book; somebody else's is left alone."""
    with transaction.atomic():
        entry = AddressBookEntry.objects.filter(user=actor, pk=entry_id).first()
        if entry is None:
            return
        address = entry.address
        entry.delete()
        audit.record(
            action="tokens.address_book.removed",
            subject_type="tokens.address_book",
            subject_id=entry_id,
            actor=actor,
            data={"address": address},
        )
