from django.urls import path

from chain import views
from chain.desk import views as desk
from chain.governance import views as governance

app_name = "chain"
urlpatterns = [
    path("desk/", desk.desk, name="desk"),
    path("desk/<int:alarm_id>/", desk.alarm_detail, name="alarm"),
    path("desk/<int:alarm_id>/contain/", desk.contain, name="alarm-contain"),
    path("desk/<int:alarm_id>/restore/", desk.restore, name="alarm-restore"),
    path("desk/<int:alarm_id>/close/", desk.close, name="alarm-close"),
    path("desk/operations/<str:operation_id>/cancel/", desk.cancel_operation, name="operation-cancel"),
    path("report-stolen-key/", desk.report_stolen_key, name="stolen-key"),
    path("proposals/", governance.proposals, name="proposals"),
    path("proposals/<int:proposal_id>/", governance.proposal, name="proposal"),
    path("proposals/<int:proposal_id>/sign/", governance.sign, name="proposal-sign"),
    path("proposals/<int:proposal_id>/withdraw/", governance.withdraw, name="proposal-withdraw"),
    path("proposals/<int:proposal_id>/cancel/", governance.cancel, name="proposal-cancel"),
    path("console/", views.console, name="console"),
    path("console/incidents/<int:incident_id>/close/", views.close_incident, name="incident-close"),
    path("console/signers/<int:signer_id>/resume/", views.resume_signer, name="signer-resume"),
    path("transactions/<int:transaction_id>/", views.transaction_detail, name="transaction"),
    path("transactions/<int:transaction_id>/timeline/", views.transaction_timeline, name="transaction-timeline"),
    path("transactions/<int:transaction_id>/cancel/", views.cancel_transaction, name="transaction-cancel"),
    path("tx/<str:transaction_hash>/", views.transaction_events, name="events"),
]
