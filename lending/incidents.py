"""What the incidents of the loan desk mean and what to do: shown on the console above the engine's own detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext_lazy as _

from portal.registry import Text

MEANINGS: Final[Mapping[str, Text]] = {
    "lending.not_carried_out": _(
        "A step, call or sale of a loan failed several times. It is tried again and closes by itself; the loan desk’s page “What waits” says what went wrong."
    ),
    "lending.breaches_waiting": _(
        "Steps that a price brought about wait too long. Check that the workers run; what fails is named on the loan desk’s page “What waits”."
    ),
    "lending.sale_paused": _(
        "A sale of collateral is paused. The loan’s page says why; after nonsense from the exchange an officer has to look before it goes on."
    ),
    "lending.delivery_late": _(
        "Collateral is on its way to or from the exchange for too long. Its sale waits: look at the transaction and at the exchange."
    ),
    "lending.delivery_failed": _(
        "Collateral did not leave custody. An officer looks why and asks for it again on the page “What waits”."
    ),
    "lending.price_broken": _(
        "A pair has no price that can be trusted. Nothing is lent, called or sold by it until enough sources agree again."
    ),
    "lending.bitcoin_unavailable": _(
        "Bitcoin cannot be watched. Deposits are not counted and none is undone until the service answers again."
    ),
    "lending.no_sanctions_list": _("No sanctions list is loaded, so no deposit can be checked. Load one."),
    "lending.sanctioned_deposit": _(
        "A deposit came from an address on a sanctions list. It is held; two reviewers decide. Do not send it back and do not tell the borrower."
    ),
    "lending.counted_deposit_listed": _(
        "The sender of a deposit that counts already is on a sanctions list now. Its loan is frozen: nothing is paid out, sold or sent back until two KYC officers have decided. Stop withdrawals that are under way, and do not tell the borrower."
    ),
    "lending.deposit_undone": _(
        "A deposit that was counted is no longer on its network. It was taken out of the books; look at the transaction elsewhere."
    ),
    "lending.withdrawal_lost": _(
        "The network has lost the transaction of a return. Send the same signed transaction again, never another one."
    ),
    "lending.release_failed": _("The vault did not make a release. The coins stay set aside; look at the vault."),
    "lending.released_elsewhere": _(
        "The vault paid a return to another address than the officers approved: the borrower’s address was changed in the vault meanwhile. Make sure that the new address is the borrower’s."
    ),
    "lending.collateral_differs": _(
        "The books differ from the chain. Find out why before anything else leaves; never book the difference away."
    ),
}
