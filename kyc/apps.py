from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class KycConfig(AppConfig):
    name = "kyc"
    verbose_name = _("Identity verification")

    def ready(self) -> None:
        from kyc import checks, dashboard, desk, notices  # noqa: F401 (the first three register themselves)

        notices.connect()
