"""What people and services outside the portal would do for the loan desk, done by the demonstration: all SIMULATED.

The custodian signs what is to go to the exchange, the exchange sends back what was not sold, and the simulated price feeds
say their price again before it is old. Coins really move on the demo's chains, so the daily comparison holds.
"""

from __future__ import annotations

import logging
from typing import Final

from django.db import transaction

from lending.bitcoin.simulator.chain import EXCHANGE
from lending.models import Asset, Delivery
from lending.selectors.collateral import deposit_address
from lending.services import bitcoin, deliveries
from portal.demo import market
from portal.demo.people import BY_KEY
from portal.models import User

logger = logging.getLogger(__name__)
#: In whose name the demonstration acts at the desk.
OFFICER: Final = "loan_officer_1"


def move_collateral() -> int:
    """Sign and send what waits to go to the exchange, and let the exchange send back what is asked for; how many moved."""
    if not market.is_there():
        return 0
    officer = User.objects.filter(email=BY_KEY[OFFICER].email).first()
    if officer is None:
        return 0
    moved = 0
    for row in Delivery.objects.filter(state=Delivery.State.REQUESTED).order_by("id"):
        try:
            moved += _deliver(row, officer) if row.direction == Delivery.Direction.OUT else _send_back(row.pk, officer)
        except Exception:
            # It stays on the desk's page, where an officer can do it as anywhere else.
            logger.exception("the demonstration could not move delivery %s", row.pk)
    return moved


def _deliver(row: Delivery, officer: User) -> bool:
    """Bitcoin: prepared by an officer, signed by the custodian, sent. Ether goes through the vault by itself."""
    if row.asset != Asset.BTC:
        return False
    prepared = bitcoin.prepare_delivery(delivery_id=row.pk, actor=officer)
    bitcoin.send_delivery(delivery_id=row.pk, actor=officer, signed=market.sign_bitcoin(prepared.psbt))
    return True


@transaction.atomic
def _send_back(delivery_id: int, officer: User) -> bool:
    """The exchange pays the loan's own address. On the locked delivery, so that two workers send it once."""
    row = deliveries.locked_delivery(delivery_id)
    home = deposit_address(row.sale.loan, row.asset)
    if row.state != Delivery.State.REQUESTED or home is None:
        return False
    units = int(row.units)
    if row.asset == Asset.BTC:
        txid = market.send_bitcoin(home.address, units, sender=EXCHANGE)
    else:
        txid = market.send_ether_from_exchange(home.address, units)
    deliveries.record_sent(delivery_id=row.pk, txid=txid, actor=officer)
    return True


def keep_feeds_fresh() -> None:
    """Let the simulated Chainlink feeds say their price again: one that is old is not believed."""
    if market.is_there():
        market.tell_feeds()
