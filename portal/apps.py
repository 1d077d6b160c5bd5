from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = _("People and audit trail")

    def ready(self) -> None:
        from portal.notices import security

        security.connect()


class BackOfficeConfig(AdminConfig):
    """The back office, as a site of ours."""

    default_site = "portal.back_office.BackOfficeSite"
    default = False
