"""A lost wallet's units move to another wallet of the same person, and to nobody else's."""

import pytest

from chain import operations
from chain.followups import tell
from chain.models import ChainTransaction
from kyc.models import Party, Wallet
from portal.exceptions import DomainError
from portal.models import AuditEntry
from portal.notices.services import send_notices
from tokens import selectors, services
from tokens.exceptions import ControlRefused, NotYourRole
from tokens.models import Recovery
from tokens.tests.conftest import KEY, add_wallet, issue_sbt, send, sweep

TX = ChainTransaction.State


def announce(world, actor, lost, replacement, reason="reported lost") -> Recovery:
    return services.announce_recovery(
        security_id=world.security.pk, actor=actor, lost=lost, replacement=replacement, reason=reason
    )


@pytest.fixture
def second_wallet(holding, platform) -> Wallet:
    wallet = add_wallet(holding.alice, is_primary=False)
    issue_sbt(platform, wallet, Party.objects.get(user=holding.alice))
    holding.settle()
    return wallet


def test_a_lost_wallet_is_announced_waited_for_and_completed(holding, administrator, second_wallet, platform):
    lost = holding.address(holding.alice)
    recovery = announce(holding, administrator, lost, second_wallet.address)
    assert announce(holding, administrator, lost, second_wallet.address) == recovery
    holding.settle()
    recovery.refresh_from_db()
    assert recovery.state == Recovery.State.WAITING
    services.complete_recovery(recovery_id=recovery.pk, actor=administrator)
    platform.node.pass_time(10)
    holding.settle()
    recovery.refresh_from_db()
    if recovery.state == Recovery.State.WAITING:  # the waiting time ran when it was tried
        assert recovery.error_code
        services.complete_recovery(recovery_id=recovery.pk, actor=administrator)
        holding.settle()
        recovery.refresh_from_db()
    assert recovery.state == Recovery.State.COMPLETED
    (row,) = selectors.holdings_for(holding.alice)
    assert (row.wallet, row.units) == (second_wallet.address, 100)
    assert selectors.holders_report(holding.security).reconciles


def test_a_recovery_to_somebody_else_is_refused_and_nothing_is_asked(holding, administrator):
    before = ChainTransaction.objects.count()
    with pytest.raises(ControlRefused) as refusal:
        announce(holding, administrator, holding.address(holding.alice), holding.address(holding.bob))
    assert refusal.value.code == "tokens.recovery.not_one_person"
    assert ChainTransaction.objects.count() == before


def test_only_an_administrator_recovers_and_only_with_a_reason(holding, administrator, second_wallet):
    lost = holding.address(holding.alice)
    with pytest.raises(NotYourRole):
        announce(holding, holding.issuer, lost, second_wallet.address)
    with pytest.raises(ControlRefused):
        announce(holding, administrator, lost, second_wallet.address, reason=" ")


# --- the holder's word -----------------------------------------------------------------------------------


@pytest.fixture
def announced(holding, administrator, second_wallet) -> Recovery:
    recovery = announce(holding, administrator, holding.address(holding.alice), second_wallet.address)
    holding.settle()
    recovery.refresh_from_db()
    return recovery


def test_a_holder_who_objects_keeps_the_units(holding, administrator, announced, platform):
    services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    again = services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    assert again.objection_attempt == 1
    holding.settle()
    announced.refresh_from_db()
    assert announced.state == Recovery.State.OBJECTED
    with pytest.raises(DomainError):
        services.complete_recovery(recovery_id=announced.pk, actor=administrator)
    platform.node.pass_time(10)
    holding.settle()
    (row,) = selectors.holdings_for(holding.alice)
    assert (row.wallet, row.units) == (announced.lost, 100)
    actions = AuditEntry.objects.filter(subject_type="tokens.recovery").values_list("action", flat=True)
    assert {"tokens.recovery.objection_requested", "tokens.recovery.objected"} <= set(actions)


def test_while_an_objection_is_on_its_way_nobody_moves_the_units(holding, administrator, announced):
    services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    with pytest.raises(ControlRefused) as refusal:
        services.complete_recovery(recovery_id=announced.pk, actor=administrator)
    assert refusal.value.code == "tokens.recovery.objected"


def test_nobody_objects_for_somebody_else(holding, announced):
    with pytest.raises(ControlRefused) as refusal:
        services.object_to_recovery(recovery_id=announced.pk, actor=holding.bob)
    assert refusal.value.code == "tokens.recovery.not_your_wallet"


def test_an_objection_undone_by_a_reorganisation_is_waited_for_again(holding, announced):
    services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    announced.refresh_from_db()
    seen = []
    for state in (TX.MINED, TX.MINED, TX.BROADCAST, TX.MINED, TX.REVERTED):
        tell(announced.objection, state)
        announced.refresh_from_db()
        seen.append(announced.state)
    assert seen == ["objected", "objected", "waiting", "objected", "waiting"]


def test_a_refused_objection_can_be_made_again(holding, announced):
    services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    announced.refresh_from_db()
    ChainTransaction.objects.filter(pk=announced.objection_id).update(state=TX.EXPIRED)
    again = services.object_to_recovery(recovery_id=announced.pk, actor=holding.alice)
    assert again.objection_attempt == 2
    assert again.objection_id != announced.objection_id


def test_the_page_asks_for_the_second_factor_and_then_objects_once(holding, announced, signed_in):
    page = f"/tokens/recoveries/{announced.pk}/"
    browser = signed_in(holding.alice, second_factor=True)
    assert "I object" in browser.get(page).content.decode()
    assert page in browser.get("/tokens/holdings/").content.decode()
    assert page in browser.get("/dashboard/").content.decode()
    for _ in range(2):
        assert browser.post(page)["Location"] == page
    announced.refresh_from_db()
    assert announced.objection_attempt == 1
    assert "I object" not in browser.get(page).content.decode()
    assert signed_in(holding.bob, second_factor=True).get(page).status_code == 404
    assert signed_in(holding.bob, second_factor=True).post(page).status_code == 404


def test_the_e_mail_leads_to_the_page(holding, announced, mailoutbox, settings):
    settings.SITE_URL = "https://portal.example"
    send_notices()
    link = f"https://portal.example/tokens/recoveries/{announced.pk}/"
    (letter,) = [mail for mail in mailoutbox if link in mail.body]
    assert letter.to == [holding.alice.email]
    assert f'href="{link}"' in letter.alternatives[0][0]


# --- the holder's word from a wallet of their own ----------------------------------------------------------


@pytest.fixture
def own_announced(own, administrator, platform) -> Recovery:
    """Alice's own wallet is called lost; its 60 units are to go to the wallet we keep for her."""
    recovery = announce(own, administrator, KEY.address, own.address(own.alice))
    platform.node.set_automine(True)
    own.settle()
    platform.node.set_automine(False)
    recovery.refresh_from_db()
    assert recovery.state == Recovery.State.WAITING
    return recovery


def object_in_wallet(own, platform, recovery) -> str:
    call = services.objection_for_wallet(recovery_id=recovery.pk, actor=own.alice)
    assert (call.sender, call.to) == (KEY.address, own.security.token)
    return send(platform, to=call.to, data=call.data)


def test_a_holder_objects_from_their_own_wallet_and_keeps_the_units(own, own_announced, administrator, platform):
    sent = object_in_wallet(own, platform, own_announced)
    services.report_objection(recovery_id=own_announced.pk, actor=own.alice, transaction_hash=sent)
    with pytest.raises(ControlRefused) as refusal:
        services.complete_recovery(recovery_id=own_announced.pk, actor=administrator)
    assert refusal.value.code == "tokens.recovery.objected"
    sweep(platform)
    own_announced.refresh_from_db()
    assert own_announced.state == Recovery.State.OBJECTED
    sweep(platform, 3)
    assert own_announced.own_objection.state == "final"
    held = selectors.holding_for(own.alice, own.security, sender=KEY.address)
    assert held is not None
    assert held.units == 60
    with pytest.raises(ControlRefused):
        services.objection_for_wallet(recovery_id=own_announced.pk, actor=own.alice)


def test_an_objection_nobody_reported_counts_all_the_same(own, own_announced, platform):
    object_in_wallet(own, platform, own_announced)
    sweep(platform)
    own_announced.refresh_from_db()
    assert own_announced.state == Recovery.State.OBJECTED


def test_an_own_objection_undone_by_a_reorganisation_is_waited_for_again(own, own_announced, platform):
    sent = object_in_wallet(own, platform, own_announced)
    services.report_objection(recovery_id=own_announced.pk, actor=own.alice, transaction_hash=sent)
    raw = platform.node.call("eth_getRawTransactionByHash", sent)
    sweep(platform)
    own_announced.refresh_from_db()
    assert own_announced.state == Recovery.State.OBJECTED
    platform.node.reorg(1)
    sweep(platform, 0)
    own_announced.refresh_from_db()
    assert own_announced.state == Recovery.State.WAITING
    if sent not in platform.node.pool():
        platform.node.call("eth_sendRawTransaction", raw)
    sweep(platform)
    own_announced.refresh_from_db()
    assert own_announced.state == Recovery.State.OBJECTED


def test_a_hash_of_something_else_is_no_objection(own, own_announced, platform, administrator):
    call = services.objection_for_wallet(recovery_id=own_announced.pk, actor=own.alice)
    other = send(platform, to=call.to, data=operations.transfer(call.to, own.address(own.bob), 1).data)
    with pytest.raises(DomainError) as refusal:
        services.report_objection(recovery_id=own_announced.pk, actor=own.alice, transaction_hash=other)
    assert refusal.value.code == "chain.outside.other_call"
    own_announced.refresh_from_db()
    assert not own_announced.is_objected


def test_nobody_objects_for_somebody_elses_own_wallet_and_the_platform_never_signs_for_it(own, own_announced):
    for who in (own.bob, own.issuer):
        with pytest.raises(ControlRefused) as refusal:
            services.objection_for_wallet(recovery_id=own_announced.pk, actor=who)
        assert refusal.value.code == "tokens.recovery.not_your_wallet"
    with pytest.raises(ControlRefused) as refusal:
        services.object_to_recovery(recovery_id=own_announced.pk, actor=own.alice)
    assert refusal.value.code == "tokens.recovery.own_wallet"


def test_the_page_leads_to_the_wallet_and_reports_what_it_sent(own, own_announced, platform, signed_in):
    page = f"/tokens/recoveries/{own_announced.pk}/"
    browser = signed_in(own.alice, second_factor=True)
    body = browser.get(page).content.decode()
    assert "data-signing" in body
    assert f'data-url="{page}begin/"' in body
    assert f'data-account="{KEY.address}"' in body
    begin = browser.post(f"{page}begin/").json()
    sent = send(platform, to=begin["to"], data=bytes.fromhex(begin["data"][2:]))
    assert browser.post(f"{page}report/", {"hash": sent})["Location"] == page
    assert "data-wallet" not in browser.get(page).content.decode()
    sweep(platform)
    assert 'data-state="objected"' in browser.get(page).content.decode()
    refused = browser.post(f"{page}begin/")
    assert refused.status_code >= 400
    assert refused.json()["refusal"]
    stranger = signed_in(own.bob, second_factor=True)
    for address in (page, f"{page}begin/", f"{page}report/"):
        assert stranger.post(address, {"hash": sent}).status_code == 404
