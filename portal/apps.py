from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalConfig(AppConfig):
    name = "portal"


class BackOfficeConfig(AdminConfig):
    """The back office, as a site of ours."""

    default_site = "portal.back_office.BackOfficeSite"
    default = False
