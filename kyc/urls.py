"""Addresses under /kyc/."""

from django.urls import path, re_path

from kyc.views import applicant, officer, wallets

app_name = "kyc"
urlpatterns = [
    # the applicant
    path("start/", applicant.application_start, name="application-start"),
    path("application/", applicant.application_tasks, name="application"),
    path("application/check/", applicant.application_check, name="application-check"),
    path("application/documents/", applicant.evidence_list, name="evidence"),
    path("application/owners/", applicant.owner_list, name="owners"),
    path("application/owners/new/", applicant.owner_edit, name="owner-add"),
    path("application/owners/<int:owner_id>/", applicant.owner_edit, name="owner-edit"),
    path("application/owners/<int:owner_id>/remove/", applicant.owner_remove, name="owner-remove"),
    path("application/<slug:key>/", applicant.section_edit, name="section"),
    path("documents/<int:evidence_id>/", applicant.evidence_file, name="evidence-file"),
    path("documents/<int:evidence_id>/remove/", applicant.evidence_remove, name="evidence-remove"),
    path("status/", applicant.status, name="status"),
    # one's wallets
    path("wallets/", wallets.wallets, name="wallets"),
    path("wallets/new/", wallets.wallet_new, name="wallet-new"),
    path("wallets/sign-in/", wallets.wallet_sign_in, name="wallet-sign-in"),
    re_path(r"^wallets/message/(?P<purpose>link|sign_in)/$", wallets.wallet_message, name="wallet-message"),
    # officers
    path("wallet-requests/", wallets.wallet_requests, name="wallet-requests"),
    path("wallet-requests/<int:request_id>/sign/", wallets.wallet_request_sign, name="wallet-request-sign"),
    path("wallet-requests/<int:request_id>/attest/", wallets.wallet_request_attest, name="wallet-request-attest"),
    path("wallet-requests/<int:request_id>/decline/", wallets.wallet_request_decline, name="wallet-request-decline"),
    path("queue/", officer.case_queue, name="queue"),
    path("cases/next/", officer.case_next, name="case-next"),
    path("cases/<int:application_id>/", officer.case_detail, name="case"),
    path("cases/<int:application_id>/panel/", officer.case_panel, name="case-panel"),
    path("cases/<int:application_id>/progress/", officer.case_progress, name="case-progress"),
    path("cases/<int:application_id>/claim/", officer.case_claim, name="case-claim"),
    path("cases/<int:application_id>/release/", officer.case_release, name="case-release"),
    path("cases/<int:application_id>/decide/", officer.case_decide, name="case-decide"),
    path("cases/<int:application_id>/confirm/", officer.case_confirm, name="case-confirm"),
    path("cases/<int:application_id>/attest/", officer.case_attest, name="case-attest"),
    path("cases/<int:application_id>/retry/", officer.case_retry, name="case-retry"),
    path("cases/<int:application_id>/attestation/", officer.attestation_prepare, name="attestation-prepare"),
    path("attestations/<int:attestation_id>/", officer.attestation_sign, name="attestation"),
    path("cases/<int:application_id>/screen/", officer.case_screen, name="case-screen"),
    path("hits/<int:hit_id>/propose/", officer.hit_propose, name="hit-propose"),
    path("hits/<int:hit_id>/decide/", officer.hit_decide, name="hit-decide"),
    path("cases/<int:application_id>/renew/", officer.case_renew, name="case-renew"),
    re_path(
        r"^cases/(?P<application_id>\d+)/(?P<step>suspend|reinstate|revoke)/$",
        officer.case_lifecycle,
        name="case-lifecycle",
    ),
]
