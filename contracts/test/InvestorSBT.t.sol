// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedAuthority} from "../src/FixedAuthority.sol";
import {InvestorSBT} from "../src/InvestorSBT.sol";
import {Roles} from "../src/Roles.sol";
import {IERC5192} from "../src/interfaces/IERC5192.sol";
import {IERC5484} from "../src/interfaces/IERC5484.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {Base} from "./Base.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";

/// @dev An ERC-1271 wallet that approves what its owner told it to.
contract Wallet {
    bytes32 private immutable _approved;

    constructor(bytes32 approved) {
        _approved = approved;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return digest == _approved ? this.isValidSignature.selector : bytes4(0);
    }
}

contract InvestorSBTTest is Base {
    uint256 private constant OTHER_KEY = 0x0E4;

    // ---------------------------------------------------------------------------------------------------------- issue

    function test_Issue_IsPendingThenEffectiveThenExpired() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _eq(sbt.standingOf(alice), 1, "none");
        _issue(a);
        _eq(sbt.standingOf(alice), 2, "pending");
        _skip(ACTIVATION - 1);
        _eq(sbt.standingOf(alice), 2, "pending to the last second");
        _skip(1);
        _eq(sbt.standingOf(alice), 0, "effective");
        _true(sbt.isEffective(alice), "isEffective");
        vm.warp(a.expiresAt - 1);
        _eq(sbt.standingOf(alice), 0, "effective to the last second");
        vm.warp(a.expiresAt);
        _eq(sbt.standingOf(alice), 3, "expired");
    }

    function test_Issue_KeepsTheRecord() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.expectEmit(address(sbt));
        emit IInvestorSBT.SbtIssued(
            alice, 1, a.subject, PERSON, uint48(START + ACTIVATION), a.expiresAt, issuer, attestor, a.evidenceHash
        );
        vm.prank(issuer);
        sbt.issue(a, attestor, signature);
        IInvestorSBT.Sbt memory s = sbt.sbtOf(alice);
        _eq(s.tokenId, 1, "id");
        _true(s.subject == a.subject && sbt.subjectOf(alice) == a.subject, "subject");
        _eq(s.categories, PERSON, "categories");
        _eq(s.issuedAt, START, "issuedAt");
        _eq(s.effectiveFrom, START + ACTIVATION, "effectiveFrom");
        _eq(s.expiresAt, a.expiresAt, "expiresAt");
        _true(s.issuer == issuer && s.attestor == attestor && !s.suspended, "keys");
        _true(sbt.ownerOf(1) == alice && sbt.balanceOf(alice) == 1, "ERC-721");
        _true(sbt.locked(1) && sbt.burnAuth(1) == IERC5484.BurnAuth.IssuerOnly, "soulbound");
        _true(sbt.isUsed(sbt.attestationDigest(a)), "used");
    }

    function test_RevertWhen_StrangerIssues() public {
        IInvestorSBT.Attestation memory a = _attestation(thief);
        _refused(
            a,
            thief,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, thief)
        );
    }

    function test_RevertWhen_AttestorIsSubmitter() public {
        manager.grantRole(Roles.ATTESTOR, issuer, 0);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _refused(
            a,
            issuer,
            issuer,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestorIsSubmitter.selector, issuer)
        );
    }

    /// @dev Through `execute` the manager is the sender: a key with both roles could otherwise attest for itself, and the
    ///      record would name the manager, so distrusting the stolen key would miss it.
    function test_RevertWhen_IssuedThroughTheManager() public {
        manager.grantRole(Roles.SBT_ISSUER, attestor, 0);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory data = abi.encodeCall(sbt.issue, (a, attestor, _sign(ATTESTOR_KEY, a)));
        vm.expectRevert(IInvestorSBT.InvestorSBT_DirectCallOnly.selector);
        vm.prank(attestor);
        manager.execute(address(sbt), data);
    }

    function test_RevertWhen_AttestorLacksTheRole() public {
        address other = vm.addr(OTHER_KEY);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _refused(
            a, issuer, other, OTHER_KEY, abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NotAttestor.selector, other)
        );
    }

    function test_RevertWhen_SignedBySomebodyElse() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _refused(a, issuer, attestor, OTHER_KEY, _invalidSignature());
    }

    function test_RevertWhen_SignatureIsMalleable() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, sbt.attestationDigest(a));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(_invalidSignature());
        vm.prank(issuer);
        sbt.issue(a, attestor, twin);
    }

    function test_RevertWhen_SignatureHasWrongLength() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        (, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, sbt.attestationDigest(a));
        vm.expectRevert(_invalidSignature());
        vm.prank(issuer);
        sbt.issue(a, attestor, abi.encodePacked(r, s));
    }

    function test_RevertWhen_AttestationIsForAnotherChain() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.chainId(4242);
        vm.expectRevert(_invalidSignature());
        vm.prank(issuer);
        sbt.issue(a, attestor, signature);
    }

    function test_RevertWhen_AttestationIsForAnotherContract() public {
        InvestorSBT other = new InvestorSBT(address(manager), ACTIVATION, 100);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, other.attestationDigest(a));
        vm.expectRevert(_invalidSignature());
        vm.prank(issuer);
        sbt.issue(a, attestor, abi.encodePacked(r, s, v));
    }

    /// @dev Whatever field a thief with the issuer's key changes, the officer's signature no longer fits.
    function testFuzz_RevertWhen_AnyFieldIsChanged(uint8 field, uint256 salt) public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        field = uint8(_bound(field, 0, 6));
        if (field == 0) a.holder = address(uint160(_bound(salt, 1, type(uint160).max)));
        if (field == 1) a.subject = bytes32(_bound(salt, 1, type(uint128).max));
        if (field == 2) a.categories = 2;
        if (field == 3) a.expiresAt += uint48(_bound(salt, 1, 30 days));
        if (field == 4) a.evidenceHash = bytes32(salt);
        if (field == 5) a.nonce += _bound(salt, 1, 1e9);
        if (field == 6) a.deadline += uint48(_bound(salt, 1, 20 days));
        vm.assume(a.holder != alice || field != 0);
        vm.expectRevert(_invalidSignature());
        vm.prank(issuer);
        sbt.issue(a, attestor, signature);
    }

    function test_RevertWhen_AttestationIsUsedTwice() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _issue(a);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AlreadyIssued.selector, alice)
        );
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationUsed.selector, sbt.attestationDigest(a))
        );
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
    }

    function test_RevertWhen_AttestationIsReplayedAfterRevocation() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _issue(a);
        _revoke(alice);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationUsed.selector, sbt.attestationDigest(a))
        );
    }

    function test_RevertWhen_AttestorVoidedTheNonce() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        vm.prank(attestor);
        sbt.voidAttestation(a.nonce);
        _true(sbt.isVoided(attestor, a.nonce), "voided");
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationVoided.selector, attestor, a.nonce)
        );
    }

    function test_VoidingAnothersNonceChangesNothing() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        vm.prank(thief);
        sbt.voidAttestation(a.nonce);
        _issue(a);
        _eq(sbt.standingOf(alice), 2, "issued");
    }

    function test_RevertWhen_DeadlinePassed() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        vm.warp(a.deadline + 1);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlinePassed.selector, a.deadline)
        );
    }

    function test_Issue_AtTheLastSecondOfTheDeadline() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        vm.warp(a.deadline);
        _issue(a);
        _eq(sbt.standingOf(alice), 2, "issued");
    }

    function test_RevertWhen_DeadlineIsTooFar() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.deadline = uint48(START + 30 days + 1);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlineTooFar.selector, a.deadline)
        );
    }

    function test_RevertWhen_HolderIsZero() public {
        IInvestorSBT.Attestation memory a = _attestation(address(0));
        _refused(
            a, issuer, attestor, ATTESTOR_KEY, abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidHolder.selector)
        );
    }

    function test_RevertWhen_SubjectIsZero() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.subject = 0;
        _refused(
            a, issuer, attestor, ATTESTOR_KEY, abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSubject.selector)
        );
    }

    function test_RevertWhen_CategoriesAreNeitherOrBoth() public {
        uint16[4] memory wrong = [uint16(0), 3, 4, 7];
        for (uint256 i = 0; i < wrong.length; ++i) {
            IInvestorSBT.Attestation memory a = _attestation(alice);
            a.categories = wrong[i];
            _refused(
                a,
                issuer,
                attestor,
                ATTESTOR_KEY,
                abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidCategories.selector, wrong[i])
            );
        }
    }

    function test_RevertWhen_ExpiryIsNotAfterActivationOrTooFar() public {
        uint48[3] memory wrong = [uint48(START), uint48(START + ACTIVATION), uint48(START + 5 * 366 days + 1)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            IInvestorSBT.Attestation memory a = _attestation(alice);
            a.expiresAt = wrong[i];
            _refused(
                a,
                issuer,
                attestor,
                ATTESTOR_KEY,
                abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidExpiry.selector, wrong[i])
            );
        }
    }

    function test_RevertWhen_AddressWasBoundToAnotherSubject() public {
        _issueTo(alice);
        _revoke(alice);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.subject = _subject(bob);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_SubjectMismatch.selector, alice, _subject(alice), a.subject)
        );
    }

    // ------------------------------------------------------------------------------------------- attestors with a contract

    function test_RevertWhen_AttestorIsAContractOfUnknownCode() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        Wallet wallet = new Wallet(sbt.attestationDigest(a));
        manager.grantRole(Roles.ATTESTOR, address(wallet), 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInvestorSBT.InvestorSBT_AttestorCodeNotAllowed.selector, address(wallet), address(wallet).codehash
            )
        );
        vm.prank(issuer);
        sbt.issue(a, address(wallet), "");
    }

    function test_Issue_WithAnAllowedWalletContract() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        Wallet wallet = new Wallet(sbt.attestationDigest(a));
        manager.grantRole(Roles.ATTESTOR, address(wallet), 0);
        sbt.allowAttestorCode(address(wallet).codehash, true);
        vm.prank(issuer);
        sbt.issue(a, address(wallet), "");
        _true(sbt.sbtOf(alice).attestor == address(wallet), "attestor");
        IInvestorSBT.Attestation memory b = _attestation(bob);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSignature.selector, address(wallet)));
        vm.prank(issuer);
        sbt.issue(b, address(wallet), "");
    }

    // ---------------------------------------------------------------------------------------------------------- the limit

    function testFuzz_Limit_HoldsOverAnyDay(uint256 limit, uint256 pause, uint256 seed) public {
        limit = _bound(limit, 2, 12);
        pause = _bound(pause, 1, 2 days);
        sbt.setIssuanceLimit(limit);
        uint256[] memory times = new uint256[](3 * limit);
        uint256 issued;
        for (uint256 i = 0; i < 3 * limit; ++i) {
            if (sbt.issuanceRemaining() > 0) {
                _issueTo(address(uint160(0x1000 + i)));
                times[issued++] = _now();
            } else {
                _skip(_bound(uint256(keccak256(abi.encode(seed, i))), 1, pause));
            }
        }
        for (uint256 i = limit; i < issued; ++i) {
            _true(times[i] >= times[i - limit] + 1 days, "more than the limit within a day");
        }
    }

    function test_RevertWhen_LimitIsReached_AndRefillsEvenly() public {
        sbt.setIssuanceLimit(4);
        _issueTo(alice);
        _issueTo(bob);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        _refused(a, issuer, attestor, ATTESTOR_KEY, abi.encodeWithSelector(RateLimiter.RateLimitExceeded.selector));
        _skip(12 hours - 1);
        _eq(sbt.issuanceRemaining(), 0, "one second early");
        _skip(1);
        _eq(sbt.issuanceRemaining(), 1, "half a day, half a bucket");
    }

    /// @dev Or raising the limit would forgive what was used before, at a rate that did not hold then.
    function test_Limit_RaisingItForgivesNothingThatWasUsed() public {
        sbt.setIssuanceLimit(4);
        _issueTo(alice);
        _issueTo(bob);
        _skip(12 hours);
        _eq(sbt.issuanceRemaining(), 1, "one of two is back");
        sbt.setIssuanceLimit(8);
        _eq(sbt.issuanceRemaining(), 3, "four less the one that is not");
    }

    function test_RevertWhen_SettingsAreAbsurd() public {
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 1));
        sbt.setIssuanceLimit(1);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 31 days));
        sbt.setActivationDelay(31 days);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, issuer));
        vm.prank(issuer);
        sbt.setIssuanceLimit(100);
    }

    function test_ActivationDelay_ShorterOnlyAfterTheDifference() public {
        sbt.setActivationDelay(1 hours);
        _issueTo(alice);
        _eq(sbt.sbtOf(alice).effectiveFrom, START + ACTIVATION, "old delay still holds");
        _skip(23 hours);
        _issueTo(bob);
        _eq(sbt.sbtOf(bob).effectiveFrom, _now() + 1 hours, "new delay");
    }

    // ------------------------------------------------------------------------------------------------------------- renew

    function test_Renew_KeepsEffect() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.expiresAt = uint48(_now() + 700 days);
        _renew(a);
        _eq(sbt.standingOf(alice), 0, "still effective");
        _eq(sbt.sbtOf(alice).expiresAt, a.expiresAt, "longer");
        _eq(sbt.sbtOf(alice).issuedAt, _now(), "counts as issued now");
        _eq(sbt.sbtOf(alice).tokenId, 1, "same id");
    }

    function test_Renew_WithMoreCategoriesWaits() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.categories = QII;
        _renew(a);
        _eq(sbt.standingOf(alice), 2, "pending again");
    }

    function test_Renew_OfAnExpiredOneWaits() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _issue(a);
        vm.warp(a.expiresAt);
        _renew(_attestation(alice));
        _eq(sbt.standingOf(alice), 2, "pending again");
    }

    function test_Renew_WhilePendingDoesNotHurry() public {
        _issueTo(alice);
        _skip(ACTIVATION / 2);
        _renew(_attestation(alice));
        _eq(sbt.sbtOf(alice).effectiveFrom, _now() + ACTIVATION, "waits anew");
    }

    function test_Renew_LeavesASuspensionAlone() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _renew(_attestation(alice));
        _eq(sbt.standingOf(alice), 4, "suspended");
    }

    function test_Renew_OfADistrustedOneCountsAgainAfterTheDelay() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, uint48(START));
        uint256 key = 0xF4E54;
        manager.grantRole(Roles.ATTESTOR, vm.addr(key), 0);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(key, a);
        vm.prank(issuer);
        sbt.renew(a, vm.addr(key), signature);
        _eq(sbt.standingOf(alice), 2, "pending");
        _skip(ACTIVATION);
        _eq(sbt.standingOf(alice), 0, "re-attested");
    }

    /// @dev Keys are numbered; one that first appears in a renewal keeps its number when the next one comes.
    function test_Renew_WithAKeyOfItsOwnKeepsItOnRecord() public {
        _issueTo(alice);
        uint256 second = 0xF4E54;
        uint256 third = 0xF4E55;
        manager.grantRole(Roles.ATTESTOR, vm.addr(second), 0);
        manager.grantRole(Roles.ATTESTOR, vm.addr(third), 0);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(second, a);
        vm.prank(issuer);
        sbt.renew(a, vm.addr(second), signature);
        a = _attestation(bob);
        signature = _sign(third, a);
        vm.prank(issuer);
        sbt.issue(a, vm.addr(third), signature);
        _true(sbt.sbtOf(alice).attestor == vm.addr(second), "alice's attestor");
        _true(sbt.sbtOf(bob).attestor == vm.addr(third), "bob's attestor");
        _true(sbt.sbtOf(alice).issuer == issuer && sbt.sbtOf(bob).issuer == issuer, "the issuer");
    }

    function test_RevertWhen_RenewingToAnExpiryThatIsNotAhead() public {
        _issueTo(alice);
        _skip(ACTIVATION + 1);
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.expiresAt = uint48(_now());
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidExpiry.selector, a.expiresAt));
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
        a.expiresAt += 1;
        _renew(a);
        _eq(sbt.standingOf(alice), 0, "for one second");
    }

    function test_RevertWhen_RenewingNothingOrAnotherSubject() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NoSbt.selector, alice));
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
        _issue(a);
        a = _attestation(alice);
        a.subject = _subject(bob);
        signature = _sign(ATTESTOR_KEY, a);
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_SubjectMismatch.selector, alice, _subject(alice), a.subject)
        );
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
    }

    // -------------------------------------------------------------------------------------------------- suspend, revoke

    function test_Suspend_AndCouncilReinstates() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _eq(sbt.standingOf(alice), 4, "suspended");
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, sbtGuardian));
        vm.prank(sbtGuardian);
        sbt.reinstate(alice);
        vm.prank(council);
        sbt.reinstate(alice);
        _eq(sbt.standingOf(alice), 0, "back");
    }

    function test_RevertWhen_SuspendingTwiceOrNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NoSbt.selector, alice));
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _issueTo(alice);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AlreadySuspended.selector, alice));
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
    }

    function test_RevertWhen_ReinstatingWhatIsNotSuspended() public {
        _issueTo(alice);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NotSuspended.selector, alice));
        vm.prank(council);
        sbt.reinstate(alice);
    }

    function test_RevertWhen_IssuerRevokesAloneWithoutSuspension() public {
        _issueTo(alice);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NotSuspended.selector, alice));
        vm.prank(issuer);
        sbt.revoke(alice);
    }

    function test_Revoke_EndsItAndTheNextHasANewId() public {
        _issueTo(alice);
        _revoke(alice);
        _eq(sbt.standingOf(alice), 1, "none");
        _eq(sbt.balanceOf(alice), 0, "balance");
        _true(sbt.subjectOf(alice) == _subject(alice), "the subject stays bound");
        _issueTo(alice);
        _eq(sbt.sbtOf(alice).tokenId, 2, "new id");
    }

    // ---------------------------------------------------------------------------------------------------------- distrust

    function test_Distrust_ReachesWhatWasIssuedFromThenOn() public {
        _issueTo(alice);
        _skip(1 hours);
        _issueTo(bob);
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START + 1 hours));
        _eq(sbt.standingOf(alice), 0, "before");
        _eq(sbt.standingOf(bob), 5, "from then on");
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, 0);
        _eq(sbt.standingOf(alice), 6, "attestor, from the beginning");
        _eq(sbt.standingOf(bob), 5, "issuer first");
        vm.prank(council);
        sbt.restoreTrust(attestor);
        _eq(sbt.standingOf(alice), 0, "trusted again");
        vm.prank(council);
        sbt.restoreTrust(issuer);
        _eq(sbt.standingOf(bob), 0, "trusted again");
    }

    function test_Distrust_MayOnlyWiden() public {
        _issueTo(alice);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInvestorSBT.InvestorSBT_DistrustNotWider.selector, issuer, uint48(START), uint48(START)
            )
        );
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START));
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START - 1));
        (bool is_, uint48 since) = sbt.distrustOf(issuer);
        _true(is_ && since == START - 1, "wider");
    }

    function test_RevertWhen_DistrustIsInTheFutureOrOfNobody() public {
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidDistrust.selector, issuer, uint48(START + 1))
        );
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START + 1));
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidDistrust.selector, address(0), uint48(0))
        );
        vm.prank(sbtGuardian);
        sbt.distrust(address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyTrusted.selector, issuer));
        vm.prank(council);
        sbt.restoreTrust(issuer);
    }

    function test_RevertWhen_ADistrustedKeyIssues() public {
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, 0); // never issued: no index yet
        IInvestorSBT.Attestation memory a = _attestation(alice);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyDistrusted.selector, issuer)
        );
        vm.prank(council);
        sbt.restoreTrust(issuer);
        _issue(a);
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, uint48(START)); // known key
        a = _attestation(bob);
        _refused(
            a,
            issuer,
            attestor,
            ATTESTOR_KEY,
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyDistrusted.selector, attestor)
        );
    }

    /// @dev Keys 1 and 65 share a flag; distrusting one must not touch the other, nor restoring one clear the other.
    function test_Distrust_OfKeysThatShareAFlag() public {
        _sixtyFiveKeys();
        address last = address(uint160(0x15500000 + 65));
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.distrust(last, 0);
        _eq(sbt.standingOf(address(0x2000)), 0, "key 1 shares the flag only");
        _eq(sbt.standingOf(address(uint160(0x2000 + 65))), 5, "key 65");
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, 0);
        vm.prank(council);
        sbt.restoreTrust(last);
        _eq(sbt.standingOf(address(0x2000)), 5, "key 1 stays distrusted");
        _eq(sbt.standingOf(address(uint160(0x2000 + 65))), 0, "key 65 is back");
    }

    /// @dev Key 64's flag is the lowest bit.
    function test_Distrust_OfTheKeyWithTheLowestFlag() public {
        _sixtyFiveKeys();
        address key = address(uint160(0x15500000 + 64));
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.distrust(key, 0);
        _eq(sbt.standingOf(address(uint160(0x2000 + 64))), 5, "key 64");
        _eq(sbt.standingOf(address(uint160(0x2000 + 63))), 0, "its neighbour");
        _eq(sbt.standingOf(address(uint160(0x2000 + 65))), 0, "its other neighbour");
        bytes memory why = abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyDistrusted.selector, key);
        _refused(_attestation(alice), key, attestor, ATTESTOR_KEY, why);
        vm.prank(council);
        sbt.restoreTrust(key);
        _eq(sbt.standingOf(address(uint160(0x2000 + 64))), 0, "restored");
    }

    /// @dev Key 1 is the issuer, 2 the attestor; number i, from 3 on, issued to 0x2000 + i.
    function _sixtyFiveKeys() private {
        sbt.setIssuanceLimit(1000);
        _issueTo(address(0x2000));
        for (uint256 i = 3; i <= 65; ++i) {
            address next = address(uint160(0x15500000 + i));
            manager.grantRole(Roles.SBT_ISSUER, next, 0);
            IInvestorSBT.Attestation memory a = _attestation(address(uint160(0x2000 + i)));
            bytes memory signature = _sign(ATTESTOR_KEY, a);
            vm.prank(next);
            sbt.issue(a, attestor, signature);
        }
    }

    function test_RestoringOneKeyLeavesTheOthersDistrusted() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, 0);
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, 0);
        vm.prank(council);
        sbt.restoreTrust(issuer);
        _eq(sbt.standingOf(alice), 6, "the attestor is still distrusted");
    }

    /// @dev The flags exist to spare everybody the look; what is restored must not leave one up.
    function test_WhatIsRestoredCostsNothingAfterwards() public {
        _issueTo(alice);
        _skip(ACTIVATION);
        uint256 before = _lookUp(alice);
        vm.prank(sbtGuardian);
        sbt.distrust(thief, 0); // never issued
        _eq(_lookUp(alice), before, "a key that never issued costs nobody anything");
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, uint48(_now()));
        _true(_lookUp(alice) > before, "the flag is up");
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, uint48(START));
        vm.prank(council);
        sbt.restoreTrust(attestor);
        _eq(_lookUp(alice), before, "and down again, though distrust was widened");
    }

    function _lookUp(address holder) private view returns (uint256 gas_) {
        sbt.standingOf(holder); // warm, both times
        gas_ = gasleft();
        sbt.standingOf(holder);
        gas_ -= gasleft();
    }

    // ------------------------------------------------------------------------------------------------------------- views

    function test_NobodysSbtIsAllZero() public {
        IInvestorSBT.Sbt memory nothing;
        _true(keccak256(abi.encode(sbt.sbtOf(thief))) == keccak256(abi.encode(nothing)), "never had one");
        _issueTo(alice);
        _revoke(alice);
        _true(keccak256(abi.encode(sbt.sbtOf(alice))) == keccak256(abi.encode(nothing)), "revoked");
    }

    function test_RevertWhen_TheZeroAddressIsAskedForItsBalance() public {
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721InvalidOwner.selector, address(0)));
        sbt.balanceOf(address(0));
        _eq(sbt.balanceOf(address(1)), 0, "any other address has a balance");
    }

    function test_PairStandingAndReadPartiesSayWhatTheProfilesSay() public {
        _issueTo(alice);
        _issueTo(bob, _subject(bob), QII);
        _samePair(alice, bob, PERSON, QII);
        _skip(ACTIVATION);
        _samePair(alice, bob, PERSON, QII);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _samePair(alice, bob, PERSON, QII);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, uint48(START));
        _samePair(alice, bob, PERSON, QII);
        _samePair(thief, bob, 0, QII);
        _samePair(bob, thief, QII, 0);
    }

    function _samePair(address one, address other, uint16 ones, uint16 others) private view {
        _sameParties(one, other, others);
        _sameParties(other, one, ones);
        _sameParties(one, one, ones);
    }

    function _sameParties(address from, address to, uint16 categories_) private view {
        (uint8 fromStanding, uint8 toStanding, uint256 id, uint16 categories) = sbt.pairStanding(from, to);
        _eq(fromStanding, sbt.standingOf(from), "sender's standing");
        _eq(toStanding, sbt.standingOf(to), "receiver's standing");
        _eq(id, sbt.sbtOf(to).tokenId, "receiver's SBT");
        _eq(categories, categories_, "receiver's categories");
        uint256 packed = uint256(fromStanding) | uint256(toStanding) << 8 | id << 16 | uint256(categories) << 64;
        _eq(sbt.readParties(from, to), packed, "the same in one word");
    }

    // ------------------------------------------------------------------------------------------------------------ pause

    function test_PauseIssuance_StopsIssueAndRenewUntilTheCouncilResumes() public {
        _issueTo(alice);
        vm.prank(sbtGuardian);
        sbt.pauseIssuance();
        IInvestorSBT.Attestation memory a = _attestation(bob);
        _refused(
            a, issuer, attestor, ATTESTOR_KEY, abi.encodeWithSelector(IInvestorSBT.InvestorSBT_IssuancePaused.selector)
        );
        IInvestorSBT.Attestation memory b = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, b);
        vm.expectRevert(IInvestorSBT.InvestorSBT_IssuancePaused.selector);
        vm.prank(issuer);
        sbt.renew(b, attestor, signature);
        vm.prank(council);
        sbt.resumeIssuance();
        _issue(a);
    }

    // --------------------------------------------------------------------------------------------- soulbound, authority

    function test_RevertWhen_TransferringOrApproving() public {
        _issueTo(alice);
        bytes[6] memory calls = [
            abi.encodeCall(IERC721.transferFrom, (alice, bob, 1)),
            abi.encodeWithSignature("safeTransferFrom(address,address,uint256)", alice, bob, 1),
            abi.encodeWithSignature("safeTransferFrom(address,address,uint256,bytes)", alice, bob, 1, ""),
            abi.encodeCall(IERC721.approve, (bob, 1)),
            abi.encodeCall(IERC721.setApprovalForAll, (bob, true)),
            abi.encodeCall(IERC721.approve, (address(0), 1))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.expectRevert(IInvestorSBT.InvestorSBT_Soulbound.selector);
            this.callAs(alice, calls[i]);
        }
    }

    function callAs(address sender, bytes memory data) external {
        _call(sender, address(sbt), data);
    }

    function test_RevertWhen_TheManagerIsSwapped() public {
        address other = address(new AccessManager(address(this)));
        vm.expectRevert(FixedAuthority.FixedAuthority_CannotChange.selector);
        manager.updateAuthority(address(sbt), other);
        _true(sbt.authority() == address(manager), "fixed");
        vm.expectRevert(abi.encodeWithSelector(FixedAuthority.FixedAuthority_InvalidManager.selector, thief));
        this.deploySbt(thief, 0, 2);
    }

    function test_SupportsInterfaces() public view {
        _true(type(IERC5192).interfaceId == 0xb45a3c0e && sbt.supportsInterface(0xb45a3c0e), "ERC-5192");
        _true(type(IERC5484).interfaceId == 0x0489b56f && sbt.supportsInterface(0x0489b56f), "ERC-5484");
        _true(sbt.supportsInterface(0x80ac58cd) && sbt.supportsInterface(0x01ffc9a7), "ERC-721, ERC-165");
        _true(!sbt.supportsInterface(0xffffffff), "none");
    }

    // ----------------------------------------------------------------------------------------------------------- helpers

    function _refused(IInvestorSBT.Attestation memory a, address sender, address signer, uint256 key, bytes memory why)
        private
    {
        bytes memory signature = _sign(key, a);
        vm.expectRevert(why);
        vm.prank(sender);
        sbt.issue(a, signer, signature);
    }

    function _invalidSignature() private view returns (bytes memory) {
        return abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSignature.selector, attestor);
    }

    function _renew(IInvestorSBT.Attestation memory a) private {
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
    }

    function _revoke(address holder) private {
        vm.prank(sbtGuardian);
        sbt.suspend(holder);
        vm.prank(issuer);
        sbt.revoke(holder);
    }
}
