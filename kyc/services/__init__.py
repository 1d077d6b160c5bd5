"""Every write of this app that means something. One function per business action; keyword arguments only."""

from kyc.services.attestations import (
    attest,
    attest_wallet,
    prepare_attestation,
    prepare_wallet_attestation,
    renew,
    retry_issue,
    submit_attestation,
)
from kyc.services.drafts import remove_owner, save_owner, start_application, submit_application, update_section
from kyc.services.evidence import (
    add_evidence,
    delete_evidence,
    open_evidence,
    remove_evidence,
    rotate_evidence_keys,
)
from kyc.services.lifecycle import activate_due, announce_reviews, expire_due, reinstate, revoke, suspend
from kyc.services.own_wallets import (
    ask_for_proof,
    decline_wallet,
    give_custody_wallet,
    link_wallet,
    person_signing_in,
)
from kyc.services.review import claim, confirm, decide, release
from kyc.services.screening import (
    decide_hit,
    load_sanctions_list,
    propose_disposition,
    rescreen_active_holders,
    run_again,
    run_due_screenings,
    run_screening,
    suspend_flagged,
)
from kyc.services.wallets import open_custody_wallet, set_officer_key

__all__ = [
    "activate_due",
    "add_evidence",
    "announce_reviews",
    "ask_for_proof",
    "attest",
    "attest_wallet",
    "claim",
    "confirm",
    "decide",
    "decide_hit",
    "decline_wallet",
    "delete_evidence",
    "expire_due",
    "give_custody_wallet",
    "link_wallet",
    "load_sanctions_list",
    "open_custody_wallet",
    "open_evidence",
    "person_signing_in",
    "prepare_attestation",
    "prepare_wallet_attestation",
    "propose_disposition",
    "reinstate",
    "release",
    "remove_evidence",
    "remove_owner",
    "renew",
    "rescreen_active_holders",
    "retry_issue",
    "revoke",
    "rotate_evidence_keys",
    "run_again",
    "run_due_screenings",
    "run_screening",
    "save_owner",
    "set_officer_key",
    "start_application",
    "submit_application",
    "submit_attestation",
    "suspend",
    "suspend_flagged",
    "update_section",
]
