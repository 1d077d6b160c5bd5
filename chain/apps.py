from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ChainConfig(AppConfig):
    name = "chain"

    def ready(self) -> None:
        # Every app's followups.py registers what must happen after its transactions.
        autodiscover_modules("followups")
