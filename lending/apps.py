from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class LendingConfig(AppConfig):
    name = "lending"
    verbose_name = _("Loans against crypto-assets")

    def ready(self) -> None:
        from lending import hooks, notice_kinds, wiring
        from lending.defaults import ensure_first_terms
        from lending.prices.defaults import ensure_price_rules
        from lending.services.calls import close_call, judge_improvement
        from lending.services.collateral.closing import return_what_is_left
        from lending.services.sales import sell_to_repay

        wiring.connect()
        post_migrate.connect(ensure_price_rules, sender=self, dispatch_uid="lending.price_rules")
        post_migrate.connect(ensure_first_terms, sender=self, dispatch_uid="lending.first_terms")
        hooks.improved(judge_improvement)
        hooks.repaid(close_call)
        hooks.repaid(return_what_is_left)
        hooks.repayment_from_collateral(sell_to_repay)
        notice_kinds.connect()
