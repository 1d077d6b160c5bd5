"""Addresses of the app: what investors have, what issuers run, what administrators stop."""

from django.urls import path

from tokens.views import administrator, investor, issuer, transfers

app_name = "tokens"
urlpatterns = [
    # investors
    path("holdings/", investor.holdings, name="holdings"),
    path("holdings.csv", investor.holdings_file, name="holdings-csv"),
    path("holdings/<int:security_id>/", investor.holding_detail, name="holding-detail"),
    path("holdings/<int:security_id>/history.csv", investor.history_file, name="history-csv"),
    path("receive/", investor.receive, name="receive"),
    path("documents/<int:document_id>/", investor.document, name="document"),
    path("subscriptions/", investor.subscriptions, name="subscriptions"),
    path("subscriptions/<int:subscription_id>/", investor.subscription_detail, name="subscription-detail"),
    path("subscriptions/<int:subscription_id>/status/", investor.subscription_status, name="subscription-status"),
    path("subscriptions/<int:subscription_id>/subscribe/", investor.subscribe, name="subscription-subscribe"),
    path("subscriptions/<int:subscription_id>/decline/", investor.decline, name="subscription-decline"),
    path("subscriptions/<int:subscription_id>/withdraw/", investor.withdraw, name="subscription-withdraw"),
    path("transfers/", transfers.transfers, name="transfers"),
    path("transfers/new/<int:security_id>/", transfers.transfer_new, name="transfer-new"),
    path("transfers/new/<int:security_id>/precheck/", transfers.transfer_precheck, name="transfer-precheck"),
    path("transfers/new/<int:security_id>/confirm/", transfers.transfer_confirm, name="transfer-confirm"),
    path("transfers/<int:transfer_id>/", transfers.transfer_detail, name="transfer-detail"),
    path("transfers/<int:transfer_id>/status/", transfers.transfer_status, name="transfer-status"),
    path("transfers/<int:transfer_id>/begin/", transfers.transfer_begin, name="transfer-begin"),
    path("transfers/<int:transfer_id>/report/", transfers.transfer_report, name="transfer-report"),
    path("transfers/<int:transfer_id>/give-up/", transfers.transfer_give_up, name="transfer-give-up"),
    path("address-book/", transfers.address_book, name="address-book"),
    path("address-book.csv", transfers.address_book_file, name="address-book-csv"),
    path("address-book/import/", transfers.address_import, name="address-import"),
    path("address-book/<int:entry_id>/remove/", transfers.address_remove, name="address-remove"),
    path("recoveries/<int:recovery_id>/", investor.recovery, name="recovery-detail"),
    # issuers
    path("securities/", issuer.security_list, name="security-list"),
    path("securities/new/", issuer.security_new, name="security-new"),
    path("securities/<int:security_id>/", issuer.security_detail, name="security-detail"),
    path("securities/<int:security_id>/status/", issuer.security_status, name="security-status"),
    path("securities/<int:security_id>/edit/", issuer.security_edit, name="security-edit"),
    path("securities/<int:security_id>/documents/", issuer.document_add, name="document-add"),
    path(
        "securities/<int:security_id>/documents/<int:document_id>/remove/",
        issuer.document_remove,
        name="document-remove",
    ),
    path("securities/<int:security_id>/submit/", issuer.security_submit, name="security-submit"),
    path("securities/<int:security_id>/approve/", issuer.security_approve, name="security-approve"),
    path("securities/<int:security_id>/send-back/", issuer.security_send_back, name="security-send-back"),
    path("securities/<int:security_id>/cancel/", issuer.security_cancel, name="security-cancel"),
    path("securities/<int:security_id>/retry/", issuer.security_retry, name="security-retry"),
    path("securities/<int:security_id>/close/", issuer.security_close, name="security-close"),
    path("securities/<int:security_id>/holders/", issuer.holders, name="holders"),
    path("securities/<int:security_id>/holders.csv", issuer.holders_file, name="holders-csv"),
    path("securities/<int:security_id>/placement/", issuer.placement, name="placement"),
    path("securities/<int:security_id>/placement/invite/", issuer.invite, name="placement-invite"),
    path("placement/<int:subscription_id>/", issuer.subscription_work, name="subscription-work"),
    path("placement/<int:subscription_id>/payment/", issuer.payment_record, name="subscription-payment"),
    path("placement/<int:subscription_id>/allocate/", issuer.allocate, name="subscription-allocate"),
    path("placement/<int:subscription_id>/issue/", issuer.issue, name="subscription-issue"),
    path("admissions/", issuer.admissions, name="admissions"),
    path("admissions/<int:request_id>/approve/", issuer.admission_approve, name="admission-approve"),
    path("admissions/<int:request_id>/decline/", issuer.admission_decline, name="admission-decline"),
    # administrators
    path("securities/<int:security_id>/control/", administrator.control, name="control"),
    path("securities/<int:security_id>/recoveries/new/", administrator.recovery_new, name="recovery-new"),
    path("recoveries/<int:recovery_id>/complete/", administrator.recovery_complete, name="recovery-complete"),
]
