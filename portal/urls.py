"""The addresses of the whole site."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from portal.views.pages import favicon

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("portal.pages_urls", namespace="portal")),
    path("public/", include("chain.public.urls")),
    path("public/securities/", include("tokens.public_urls")),
    path("kyc/", include("kyc.urls", namespace="kyc")),
    path("tokens/", include("tokens.urls", namespace="tokens")),
    path("lending/", include("lending.urls", namespace="lending")),
    path("chain/", include("chain.urls", namespace="chain")),
    path("favicon.ico", favicon),
]
if settings.DEMO:
    urlpatterns.append(path("demo/", include("portal.demo.urls", namespace="demo")))

handler400 = "portal.views.errors.bad_request"
handler403 = "portal.views.errors.permission_denied"
handler404 = "portal.views.errors.page_not_found"
handler500 = "portal.views.errors.server_error"
