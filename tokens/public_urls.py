"""What anybody may see of the securities."""

from django.urls import path

from tokens.views import public

app_name = "public_securities"
urlpatterns = [path("<str:token>/", public.security, name="security")]
