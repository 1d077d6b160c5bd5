"""The addresses of the whole site."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", include("portal.pages_urls", namespace="portal")),
    path("kyc/", include("kyc.urls", namespace="kyc")),
    path("tokens/", include("tokens.urls", namespace="tokens")),
    path("chain/", include("chain.urls", namespace="chain")),
    path("favicon.ico", RedirectView.as_view(url="/static/favicon.svg", permanent=True)),
]
if settings.DEMO:
    urlpatterns.append(path("demo/", include("portal.demo.urls", namespace="demo")))
