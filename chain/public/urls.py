"""What anybody may read of the chain."""

from django.urls import path

from chain.public import views

app_name = "public_chain"
urlpatterns = [
    path("roles/", views.roles, name="roles"),
    path("check/", views.check, name="check"),
    path("contracts/", views.contracts, name="contracts"),
]
