from django.urls import path

from chain import views

app_name = "chain"
urlpatterns = [
    path("console/", views.console, name="console"),
    path("console/incidents/<int:incident_id>/close/", views.close_incident, name="incident-close"),
    path("console/signers/<int:signer_id>/resume/", views.resume_signer, name="signer-resume"),
    path("transactions/<int:transaction_id>/", views.transaction_detail, name="transaction"),
    path("transactions/<int:transaction_id>/timeline/", views.transaction_timeline, name="transaction-timeline"),
    path("transactions/<int:transaction_id>/cancel/", views.cancel_transaction, name="transaction-cancel"),
    path("tx/<str:transaction_hash>/", views.transaction_events, name="events"),
]
