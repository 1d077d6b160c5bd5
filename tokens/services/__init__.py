"""Every write of this app, one function per business action."""

from tokens.services.admissions import approve_admission, decline_admission, request_admission
from tokens.services.controls import announce_recovery, complete_recovery, request_control
from tokens.services.objections import object_to_recovery
from tokens.services.placements import (
    ACKNOWLEDGEMENTS,
    allocate_subscription,
    decline_invitation,
    invite_investor,
    issue_allotment,
    record_payment,
    subscribe,
    withdraw_subscription,
)
from tokens.services.securities import (
    add_document,
    approve_security,
    cancel_security,
    close_offering,
    create_security,
    mature_securities,
    remove_document,
    retry_deployment,
    send_back_security,
    submit_security,
    update_security,
)
from tokens.services.transfers import (
    call_for_wallet,
    give_up_transfer,
    import_addresses,
    remove_address,
    report_transfer,
    request_transfer,
    save_address,
)

__all__ = [
    "ACKNOWLEDGEMENTS",
    "add_document",
    "allocate_subscription",
    "announce_recovery",
    "approve_admission",
    "approve_security",
    "call_for_wallet",
    "cancel_security",
    "close_offering",
    "complete_recovery",
    "create_security",
    "decline_admission",
    "decline_invitation",
    "give_up_transfer",
    "import_addresses",
    "invite_investor",
    "issue_allotment",
    "mature_securities",
    "object_to_recovery",
    "record_payment",
    "remove_address",
    "remove_document",
    "report_transfer",
    "request_admission",
    "request_control",
    "request_transfer",
    "retry_deployment",
    "save_address",
    "send_back_security",
    "submit_security",
    "subscribe",
    "update_security",
    "withdraw_subscription",
]
