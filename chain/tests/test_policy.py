"""What each signer may sign, judged by the bytes."""

from dataclasses import replace

import pytest

from chain import abi, operations, services, signers
from chain.exceptions import PolicyViolation
from chain.models import Contract, Signer
from chain.types import Call, SignerRole

TOKEN = "0x" + "77" * 20


@pytest.fixture
def wallet(platform):
    Contract.objects.create(
        chain_id=31337, kind="SecurityToken", address=signers.checksummed(TOKEN), deployed_block=1, bytecode_hash="0x"
    )
    return services.create_custody_signer(label="wallet")


def calls(platform):
    """One call of every restricted kind, with the only role that may sign it."""
    holder, token = "0x" + "11" * 20, signers.checksummed(TOKEN)
    return [
        (SignerRole.SBT_ISSUER, operations.revoke_sbt(holder)),
        (SignerRole.SBT_GUARDIAN, operations.suspend_sbt(holder)),
        (SignerRole.TOKEN_AGENT, operations.admit(token, [holder])),
        (SignerRole.TOKEN_AGENT, operations.mint(token, holder, 1)),
        (SignerRole.TOKEN_AGENT, operations.redeem(token, holder, 1)),
        (SignerRole.TOKEN_AGENT, operations.recover(token, holder, holder)),
        (SignerRole.TOKEN_GUARDIAN, operations.pause(token)),
        (SignerRole.CUSTODY, operations.transfer(token, holder, 1)),
        (SignerRole.CUSTODY, operations.object_to_recovery(token)),
    ]


def test_every_call_may_be_signed_by_its_role_and_by_no_other(platform, wallet):
    everyone = {
        role: platform.signer(role)
        for name, role in vars(SignerRole).items()
        if name.isupper() and name not in ("ADMIN", "COUNCIL", "CUSTODY", "KEYLESS", "MANY")
    } | {SignerRole.CUSTODY: wallet}
    allowed = []
    for wanted, call in calls(platform):
        for role, signer in everyone.items():
            try:
                signers.check_policy(signer, call)
            except PolicyViolation:
                continue
            allowed.append((role, call.function, wanted))
    # The deployer's multicall is judged by what is in it: wiring function roles is its work too.
    unexpected = [entry for entry in allowed if entry[0] != entry[2] and entry[0] != SignerRole.DEPLOYER]
    assert unexpected == []
    assert len([entry for entry in allowed if entry[0] == entry[2]]) == len(calls(platform))


def test_the_label_of_a_row_does_not_decide(platform, wallet):
    mint = operations.mint(signers.checksummed(TOKEN), wallet.address, 1)
    with pytest.raises(PolicyViolation):
        signers.check_policy(wallet, replace(mint, function="SecurityToken.transfer"))
    agent = platform.signer(SignerRole.TOKEN_AGENT)
    with pytest.raises(PolicyViolation):
        signers.check_policy(agent, replace(mint, function="SecurityToken.admit"))


def test_a_contract_that_is_not_ours_is_not_called(platform, wallet):
    call = operations.transfer("0x" + "99" * 20, wallet.address, 1)
    with pytest.raises(PolicyViolation):
        signers.check_policy(wallet, call)


@pytest.mark.parametrize("data", [b"\xde\xad\xbe\xef", b"\xa9\x05\x9c\xbb", b"\x00"])
def test_bytes_that_are_no_call_of_ours_are_not_signed(platform, wallet, data):
    with pytest.raises(PolicyViolation):
        signers.check_policy(wallet, Call(to=signers.checksummed(TOKEN), data=data, function="SecurityToken.transfer"))


def test_no_function_takes_ether_with_it(platform, wallet):
    call = operations.transfer(signers.checksummed(TOKEN), platform.sbt, 1)
    with pytest.raises(PolicyViolation):
        signers.check_policy(wallet, replace(call, value_wei=1))


def test_a_custody_wallet_sends_no_ether(platform, wallet):
    with pytest.raises(PolicyViolation):
        signers.check_policy(wallet, Call(to=platform.sbt, data=b"", function="ETH.transfer", value_wei=1))


def test_the_gas_funder_pays_signers_of_ours_up_to_the_limit_and_calls_nothing(platform, wallet, settings):
    funder = platform.signer(SignerRole.GAS_FUNDER)
    top_up = Call(to=wallet.address, data=b"", function="ETH.transfer", value_wei=settings.CHAIN_TOP_UP_LIMIT_WEI)
    signers.check_policy(funder, top_up)
    for forbidden in (
        replace(top_up, value_wei=settings.CHAIN_TOP_UP_LIMIT_WEI + 1),
        replace(top_up, to=platform.sbt),
        operations.suspend_sbt(wallet.address),
    ):
        with pytest.raises(PolicyViolation):
            signers.check_policy(funder, forbidden)


def test_only_the_deployer_deploys_and_only_contracts_of_ours(platform, wallet):
    ours = Call(to=None, data=abi.artifact("InvestorSBT").bytecode, function="InvestorSBT.constructor")
    signers.check_policy(platform.signer(SignerRole.DEPLOYER), ours)
    with pytest.raises(PolicyViolation):
        signers.check_policy(platform.signer(SignerRole.TOKEN_AGENT), ours)
    with pytest.raises(PolicyViolation):
        signers.check_policy(platform.signer(SignerRole.DEPLOYER), replace(ours, data=b"\x60\x80\x60\x40"))


def asked_of_officers():
    """One call that officers are asked for, with the only role that makes it."""
    holder, token = "0x" + "11" * 20, signers.checksummed(TOKEN)
    return [
        (SignerRole.COUNCIL, operations.reinstate_sbt(holder)),
        (SignerRole.COUNCIL, operations.unpause(token)),
        (SignerRole.ADMIN, operations.configure_security_token(token)),
    ]


def test_officers_are_asked_for_what_their_role_does_and_for_nothing_else(platform, wallet):
    for wanted, call in asked_of_officers():
        for role in (SignerRole.ADMIN, SignerRole.COUNCIL):
            if role == wanted:
                signers.check_proposal(role, call)
            else:
                with pytest.raises(PolicyViolation):
                    signers.check_proposal(role, call)


def test_no_key_of_ours_makes_what_officers_decide(platform, wallet):
    for _role, call in asked_of_officers():
        for signer in Signer.objects.exclude(role=SignerRole.DEPLOYER):
            with pytest.raises(PolicyViolation):
                signers.check_policy(signer, call)


@pytest.mark.parametrize("hidden", ["setRoleAdmin", "setTargetClosed", "updateAuthority"])
def test_officers_are_not_asked_for_what_hides_inside_a_multicall(platform, hidden):
    arguments = {
        "setRoleAdmin": (4, 5),
        "setTargetClosed": ("0x" + "11" * 20, True),
        "updateAuthority": ("0x" + "11" * 20, "0x" + "22" * 20),
    }
    inner = abi.encode_call("AccessManager", hidden, *arguments[hidden])
    call = Call(
        to=platform.manager,
        data=abi.encode_call("AccessManager", "multicall", [inner]),
        function="AccessManager.multicall",
    )
    with pytest.raises(PolicyViolation):
        signers.check_proposal(SignerRole.ADMIN, call)
