from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ChainConfig(AppConfig):
    name = "chain"

    def ready(self) -> None:
        from chain.selectors import open_incidents_for
        from portal.models import Role
        from portal.registry import MenuItem, menu_items

        # Every app's followups.py registers what must happen after its transactions.
        autodiscover_modules("followups")
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
