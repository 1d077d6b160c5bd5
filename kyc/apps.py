from django.apps import AppConfig


class KycConfig(AppConfig):
    name = "kyc"

    def ready(self) -> None:
        from kyc import checks, dashboard  # noqa: F401 (both register themselves)
