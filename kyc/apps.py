from django.apps import AppConfig


class KycConfig(AppConfig):
    name = "kyc"

    def ready(self) -> None:
        from kyc import checks, dashboard, desk  # noqa: F401 (all register themselves)
