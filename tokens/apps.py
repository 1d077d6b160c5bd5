from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = _("Security tokens")

    def ready(self) -> None:
        from tokens import wiring

        wiring.connect()
        post_migrate.connect(wiring.ensure_first_placement_rule, sender=self)
