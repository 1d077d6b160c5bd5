"""What visitors of the demo do to the simulated market."""

from __future__ import annotations

from decimal import Decimal

from django import forms
from django.utils.translation import gettext as _

from portal.demo import market


class MarketForm(forms.Form):
    """One step: a price, a fall, coins, blocks. Only the fields of the step are filled in."""

    step = forms.ChoiceField(choices=[(name, name) for name in ("price", "fall", "send", "mine")])
    asset = forms.ChoiceField(choices=[(asset, asset) for asset in market.ASSETS], required=False)
    amount = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=36, decimal_places=18)
    address = forms.CharField(required=False, max_length=100)
    percent = forms.IntegerField(required=False, min_value=1, max_value=90)

    def carry_out(self) -> str:
        """Do it; what happened, in words. Raises `market.MarketRefused`, and ValueError for what is no amount."""
        data = self.cleaned_data
        step, asset, amount = data["step"], data["asset"], data["amount"] or Decimal(0)
        if step == "price":
            market.set_price(asset, amount)
            return _("The simulated exchanges say the new price. It is accepted with the next rounds.")
        if step == "fall":
            market.fall(data["percent"] or 0)
            return _(
                "Prices fell. A fall of more than a tenth is accepted once three rounds agree, about a minute later."
            )
        if step == "mine":
            market.mine(6)
            return _("Six Bitcoin blocks were found.")
        if asset == "BTC":
            market.send_bitcoin(data["address"].strip(), int(amount.scaleb(8)))
        else:
            market.send_ether(data["address"].strip(), int(amount.scaleb(18)))
        return _("The coins are on their way.")
