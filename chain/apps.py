from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ChainConfig(AppConfig):
    name = "chain"
    verbose_name = _("Chain and contracts")

    def ready(self) -> None:
        from chain import notices
        from chain.desk import steps  # noqa: F401 (registers itself)
        from chain.desk.selectors import open_alarms_for
        from chain.public.figures import verified_wallets
        from chain.public.selectors import public_part
        from chain.selectors import open_incidents_for
        from portal.models import Role
        from portal.registry import VISITOR, MenuItem, PublicPart, menu_items, public_parts

        notices.connect()
        menu_items.register(
            MenuItem(
                _("Incident desk"),
                "chain:desk",
                frozenset({Role.ADMINISTRATOR, Role.KYC_OFFICER, Role.AUDITOR}),
                order=65,
                section="/chain/desk/",
                count=open_alarms_for,
            )
        )
        menu_items.register(
            MenuItem(
                _("Proposals"),
                "chain:proposals",
                frozenset({Role.ADMINISTRATOR, Role.AUDITOR}),
                order=68,
                section="/chain/proposals/",
            )
        )
        public_parts.register(
            PublicPart("chain/public/wallets.html", lambda: {"wallets": verified_wallets()}, order=20)
        )
        public_parts.register(PublicPart("chain/public/part.html", public_part, order=30))
        menu_items.register(
            MenuItem(_("Check an address or transfer"), "public_chain:check", frozenset({VISITOR}), order=12)
        )
        # Every app's followups.py registers what must happen after its transactions.
        autodiscover_modules("followups")
        # Every app's errands.py answers whether it asked for a transaction; chain's own are beside its services.
        from chain.services import own_errands  # noqa: F401 (registers itself)

        autodiscover_modules("errands")
        menu_items.register(
            MenuItem(
                _("Chain console"),
                "chain:console",
                frozenset({Role.ADMINISTRATOR, Role.AUDITOR}),
                order=70,
                section="/chain/",
                count=open_incidents_for,
            )
        )
