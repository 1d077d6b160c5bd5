// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC5192} from "../src/interfaces/IERC5192.sol";
import {IERC5484} from "../src/interfaces/IERC5484.sol";
import {IERC7943Fungible} from "../src/interfaces/IERC7943.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {SecurityToken} from "../src/SecurityToken.sol";
import {Base} from "./Base.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @dev The portal follows the chain by events alone, so each change has its own, with the right figures.
contract EventsTest is Base {
    bytes32 private constant REASON = "court order";

    function setUp() public override {
        super.setUp();
        _holder(alice, 100);
        _holder(bob, 0);
    }

    // --------------------------------------------------------------------------------------------------------------- SBT

    function test_Issue_EmitsTheStandardsEventsAndOurs() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        vm.expectEmit(address(sbt));
        emit IERC721.Transfer(address(0), carol, 3);
        vm.expectEmit(address(sbt));
        emit IERC5192.Locked(3);
        vm.expectEmit(address(sbt));
        emit IERC5484.Issued(address(0), carol, 3, IERC5484.BurnAuth.IssuerOnly);
        vm.expectEmit(address(sbt));
        emit IInvestorSBT.SbtIssued(
            carol, 3, a.subject, PERSON, uint48(_now() + ACTIVATION), a.expiresAt, issuer, attestor, a.evidenceHash
        );
        vm.prank(issuer);
        sbt.issue(a, attestor, signature);
    }

    function test_Renew_EmitsWhatReplacedTheOld() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        uint48 from = sbt.sbtOf(alice).effectiveFrom;
        vm.expectEmit(address(sbt));
        emit IInvestorSBT.SbtRenewed(
            alice, 1, a.subject, PERSON, from, a.expiresAt, issuer, attestor, a.evidenceHash
        );
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
        _eq(sbt.sbtOf(alice).issuedAt, _now(), "issued anew");
    }

    function test_SuspendReinstateRevoke_Emit() public {
        _expectSbt();
        emit IInvestorSBT.SbtSuspended(alice, 1);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _expectSbt();
        emit IInvestorSBT.SbtReinstated(alice, 1);
        vm.prank(council);
        sbt.reinstate(alice);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _expectSbt();
        emit IERC721.Transfer(alice, address(0), 1);
        _expectSbt();
        emit IInvestorSBT.SbtRevoked(alice, 1);
        vm.prank(issuer);
        sbt.revoke(alice);
        _eq(sbt.balanceOf(alice), 0, "ERC-721 balance");
        vm.expectRevert();
        sbt.ownerOf(1);
        vm.expectRevert();
        sbt.locked(1);
        vm.expectRevert();
        sbt.burnAuth(1);
    }

    function test_DistrustRestoreVoid_Emit() public {
        _expectSbt();
        emit IInvestorSBT.KeyDistrusted(attestor, uint48(START));
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, uint48(START));
        _expectSbt();
        emit IInvestorSBT.KeyTrustRestored(attestor);
        vm.prank(council);
        sbt.restoreTrust(attestor);
        (bool distrusted, uint48 since) = sbt.distrustOf(attestor);
        _true(!distrusted && since == 0, "trusted");
        _expectSbt();
        emit IInvestorSBT.AttestationVoided(attestor, 99);
        vm.prank(attestor);
        sbt.voidAttestation(99);
        _true(sbt.isVoided(attestor, 99), "voided");
    }

    function test_PauseAndResumeIssuance_EmitAndRefuseTwice() public {
        vm.expectRevert(IInvestorSBT.InvestorSBT_IssuanceNotPaused.selector);
        vm.prank(council);
        sbt.resumeIssuance();
        _expectSbt();
        emit IInvestorSBT.IssuancePaused(sbtGuardian);
        vm.prank(sbtGuardian);
        sbt.pauseIssuance();
        _true(sbt.issuancePaused(), "paused");
        vm.expectRevert(IInvestorSBT.InvestorSBT_IssuancePaused.selector);
        vm.prank(sbtGuardian);
        sbt.pauseIssuance();
        _expectSbt();
        emit IInvestorSBT.IssuanceResumed(council);
        vm.prank(council);
        sbt.resumeIssuance();
        _true(!sbt.issuancePaused(), "resumed");
    }

    function test_SbtSettings_EmitAndAreReadBack() public {
        _expectSbt();
        emit IInvestorSBT.ActivationDelaySet(2 days, uint48(_now()));
        sbt.setActivationDelay(2 days);
        _eq(sbt.activationDelay(), 2 days, "longer at once");
        _expectSbt();
        emit IInvestorSBT.IssuanceLimitSet(40);
        sbt.setIssuanceLimit(40);
        _eq(sbt.issuanceLimitPerDay(), 40, "limit");
        _expectSbt();
        emit IInvestorSBT.AttestorCodeAllowed("code", true);
        sbt.allowAttestorCode("code", true);
        _true(sbt.isAttestorCodeAllowed("code"), "allowed");
        sbt.allowAttestorCode("code", false);
        _true(!sbt.isAttestorCodeAllowed("code"), "no longer");
    }

    function test_Deploying_TellsTheSettings() public {
        vm.expectEmit();
        emit IInvestorSBT.ActivationDelaySet(3 hours, uint48(_now()));
        vm.expectEmit();
        emit IInvestorSBT.IssuanceLimitSet(8);
        this.deploySbt(address(manager), 3 hours, 8);
        ISecurityToken.Terms memory terms = _terms();
        ISecurityToken.Document memory document = terms.documents[0];
        vm.expectEmit();
        emit ISecurityToken.AuthorisedAmountRaised(terms.authorisedUnits);
        vm.expectEmit();
        emit ISecurityToken.DocumentRecorded(0, document.name, document.uri, document.hash);
        vm.expectEmit();
        emit ISecurityToken.LimitsSet(4, 6);
        this.deploy(terms, ISecurityToken.Safeguards(1, 1, 4, 6));
    }

    function test_SbtSettings_AtTheirEdges() public {
        sbt.setActivationDelay(30 days);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 30 days + 1));
        sbt.setActivationDelay(30 days + 1);
        sbt.setIssuanceLimit(2);
        sbt.setIssuanceLimit(1_000_000);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 1_000_001));
        sbt.setIssuanceLimit(1_000_001);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 1));
        sbt.setIssuanceLimit(1);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 0));
        this.deploySbt(address(manager), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSetting.selector, 30 days + 1));
        this.deploySbt(address(manager), 30 days + 1, 2);
        _eq(this.deploySbt(address(manager), 30 days, 2).activationDelay(), 30 days, "the longest");
    }

    function test_Attestation_AtItsEdges() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        a.deadline = uint48(_now() + 30 days);
        a.expiresAt = uint48(_now() + 5 * 366 days);
        _issue(a);
        _true(sbt.sbtOf(carol).expiresAt == a.expiresAt, "the longest there is");
        IInvestorSBT.Attestation memory b = _attestation(thief);
        b.expiresAt = uint48(_now() + ACTIVATION + 1);
        _issue(b);
        _skip(ACTIVATION);
        _true(sbt.isEffective(thief), "effective for one second");
        _skip(1);
        _eq(sbt.standingOf(thief), 3, "and expired");
    }

    // -------------------------------------------------------------------------------------------------------------- token

    function test_AdmitDismissFreeze_Emit() public {
        _issueTo(carol);
        _skip(ACTIVATION);
        _expectToken();
        emit ISecurityToken.Admitted(carol, 3);
        _admit(carol);
        _eq(token.admittedSbt(carol), 3, "id");
        _expectToken();
        emit ISecurityToken.Dismissed(carol, 3);
        vm.prank(agent);
        token.dismiss(_one(carol));
        _eq(token.admittedSbt(carol), 0, "none");
        _expectToken();
        emit IERC7943Fungible.Frozen(alice, 7);
        vm.prank(agent);
        token.freeze(alice, 7);
        bytes memory data = abi.encodeCall(token.setFrozenTokens, (alice, 3));
        _schedule(data);
        _expectToken();
        emit IERC7943Fungible.Frozen(alice, 3);
        _call(controller, address(token), data);
    }

    function test_Mint_EmitsTransfer() public {
        _expectToken();
        emit IERC20.Transfer(address(0), bob, 5);
        _mint(bob, 5);
    }

    function test_RedeemBurnReverse_Emit() public {
        bytes memory data = abi.encodeCall(token.redeemEarly, (alice, 60));
        _schedule(data);
        _expectToken();
        emit IERC20.Transfer(alice, address(0), 60);
        _expectToken();
        emit ISecurityToken.AuthorisedAmountLowered(9_940);
        _expectToken();
        emit ISecurityToken.Redeemed(alice, 60, true);
        _call(controller, address(token), data);
        data = abi.encodeCall(token.reverseRedemption, (alice, 20, REASON));
        _schedule(data);
        _expectToken();
        emit IERC20.Transfer(address(0), alice, 20);
        _expectToken();
        emit ISecurityToken.AuthorisedAmountRaised(9_960);
        _expectToken();
        emit ISecurityToken.RedemptionReversed(alice, 20, REASON);
        _call(controller, address(token), data);
        _eq(token.redeemedFrom(alice), 40, "what is left to reverse");
        _eq(token.totalSupply(), 60, "supply");
        data = abi.encodeCall(token.burn, (alice, 10, REASON));
        _schedule(data);
        _expectToken();
        emit IERC20.Transfer(alice, address(0), 10);
        _expectToken();
        emit ISecurityToken.Burned(alice, 10, REASON);
        _call(controller, address(token), data);
        _eq(token.authorisedAmount(), 9_960, "a burn leaves the authorised amount alone");
        vm.warp(START + 365 days);
        _expectToken();
        emit ISecurityToken.Redeemed(alice, 50, false);
        vm.prank(agent);
        token.redeem(alice, 50);
        _eq(token.redeemedFrom(alice), 90, "adds up");
        _eq(token.holderCount(), 0, "nobody holds any more");
    }

    function test_PauseAndUnpause_Emit() public {
        _expectToken();
        emit ISecurityToken.Paused(tokenGuardian);
        vm.prank(tokenGuardian);
        token.pause();
        _true(token.paused(), "paused");
        _expectToken();
        emit ISecurityToken.Unpaused(council);
        vm.prank(council);
        token.unpause();
        _true(!token.paused(), "not paused");
    }

    function test_Recovery_EmitsEachStep() public {
        address wallet = address(0xA11CE2);
        _issueTo(wallet, _subject(alice), PERSON);
        _skip(ACTIVATION);
        uint48 at = uint48(_now() + RECOVERY_DELAY);
        _expectToken();
        emit ISecurityToken.RecoveryAnnounced(alice, wallet, at);
        vm.prank(agent);
        token.announceRecovery(alice, wallet);
        ISecurityToken.Recovery memory r = token.recoveryOf(alice);
        _true(r.replacement == wallet && r.executableAt == at && !r.objected, "recoveryOf");
        _eq(r.replacementSbt, sbt.sbtOf(wallet).tokenId, "with the SBT's id");
        _expectToken();
        emit ISecurityToken.RecoveryObjected(alice, wallet);
        vm.prank(alice);
        token.objectToRecovery();
        _true(token.recoveryOf(alice).objected, "objected");
        _expectToken();
        emit ISecurityToken.RecoveryCancelled(alice, wallet);
        vm.prank(council);
        token.cancelRecovery(alice);
        _eq(token.recoveryOf(alice).executableAt, 0, "none");
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, alice, address(0)));
        vm.prank(council);
        token.cancelRecovery(alice);
        vm.prank(agent);
        token.freeze(alice, 10);
        vm.prank(agent);
        token.announceRecovery(alice, wallet);
        _skip(RECOVERY_DELAY);
        _expectToken();
        emit IERC7943Fungible.Frozen(alice, 0);
        _expectToken();
        emit IERC7943Fungible.Frozen(wallet, 10);
        _expectToken();
        emit ISecurityToken.Admitted(wallet, 3);
        _expectToken();
        emit ISecurityToken.Dismissed(alice, 1);
        _expectToken();
        emit IERC20.Transfer(alice, wallet, 100);
        _expectToken();
        emit ISecurityToken.RecoveryCompleted(alice, wallet, 100);
        vm.prank(agent);
        token.recover(alice, wallet);
        _true(!token.canSend(alice) || token.balanceOf(alice) == 0, "empty");
        _eq(token.recoveryOf(alice).executableAt, 0, "done");
    }

    function test_RevertWhen_RecoveringToAWalletWithoutAnSbt() public {
        address wallet = address(0xA11CE2);
        _issueTo(wallet, _subject(alice), PERSON);
        vm.prank(sbtGuardian);
        sbt.suspend(wallet);
        vm.prank(issuer);
        sbt.revoke(wallet);
        _expectCode(21);
        vm.prank(agent);
        token.announceRecovery(alice, wallet);
    }

    function test_TransferFreeze_EmitsAndIsReadBack() public {
        uint48 from = uint48(_now() + 10);
        _expectToken();
        emit ISecurityToken.TransferFreezeSet(from, from + 10 days);
        vm.prank(agent);
        token.setTransferFreeze(from, from + 10 days);
        (uint48 a, uint48 b) = token.transferFreeze();
        _true(a == from && b == from + 10 days, "read back");
        _expectToken();
        emit ISecurityToken.TransferFreezeSet(0, 0);
        vm.prank(agent);
        token.setTransferFreeze(0, 0);
        _skip(10);
        vm.prank(alice);
        token.transfer(bob, 1);
    }

    function test_TransferFreeze_AtItsEdges() public {
        uint48 now_ = uint48(_now());
        _window(now_ + 60 days, now_ + 70 days, true); // the furthest, the longest
        _window(now_ + 60 days + 1, now_ + 61 days, false);
        _window(now_ + 1, now_ + 1, false);
        _window(now_ - 1, now_ + 1, false);
        _window(now_, now_ + 10 days + 1, false);
        _window(now_, now_ + 10 days, true); // at once
        _skip(10 days - 1);
        _expectCode(41);
        vm.prank(alice);
        token.transfer(bob, 1);
        _window(0, 0, false); // an open window cannot be called off
        _skip(1);
        vm.prank(alice);
        token.transfer(bob, 1);
        _window(now_ + 30 days - 1, now_ + 31 days, false); // twenty days apart
        _window(now_ + 30 days, now_ + 31 days, true);
    }

    function test_AdminSettings_EmitAndAreReadBack() public {
        _expectToken();
        emit ISecurityToken.AuthorisedAmountRaised(10_001);
        token.raiseAuthorisedAmount(10_001);
        _expectToken();
        emit ISecurityToken.LimitsSet(20, 30);
        token.setLimits(20, 30);
        ISecurityToken.Safeguards memory s = token.safeguards();
        _true(s.admissionLimitPerDay == 20 && s.mintLimitPerDay == 30, "limits");
        _true(s.controllerDelay == CONTROLLER_DELAY && s.recoveryDelay == RECOVERY_DELAY, "delays");
        _true(token.mintRemaining() <= 15 && token.admissionsRemaining() <= 10, "half at once");
        uint256 most = uint256(type(uint96).max) - 1;
        token.raiseAuthorisedAmount(most);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidAmount.selector, most + 1));
        token.raiseAuthorisedAmount(most + 1);
    }

    function test_Limits_AtTheirEdges() public {
        uint256 most = 2 * uint256(type(uint96).max);
        token.setLimits(2, 2);
        token.setLimits(1_000_000, most);
        uint256[2][4] memory wrong = [[uint256(1), 2], [uint256(2), 1], [uint256(1_000_001), 2], [uint256(2), most + 1]];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
            token.setLimits(wrong[i][0], wrong[i][1]);
        }
    }

    function test_Document_Emits() public {
        bytes memory data = abi.encodeCall(token.setDocument, ("Prospectus", "https://issuer.example/p.pdf", "p"));
        _schedule(data);
        _expectToken();
        emit ISecurityToken.DocumentRecorded(1, "Prospectus", "https://issuer.example/p.pdf", "p");
        _call(controller, address(token), data);
        _true(token.getDocument("Prospectus").hash == "p", "by name");
        _true(token.getDocument("Terms of the bonds").hash == "hash", "the others stay");
    }

    function test_Deploying_EmitsAndCountsWhatTheTermsSay() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.decimals = 18;
        terms.lockUpUntil = terms.maturityAt;
        terms.minimumLotUnits = terms.authorisedUnits;
        SecurityToken deployed = _deployToken(terms);
        _eq(deployed.decimals(), 18, "decimals");
        _eq(deployed.authorisedAmount(), terms.authorisedUnits, "authorised");
        _true(deployed.sbt() == address(sbt) && deployed.authority() == address(manager), "wired");
        terms.decimals = 19;
        vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
        this.deploy(terms, ISecurityToken.Safeguards(1, 1, 2, 2));
    }

    function test_Safeguards_AtTheirEdges() public {
        ISecurityToken.Terms memory terms = _terms();
        this.deploy(terms, ISecurityToken.Safeguards(90 days, 90 days, 2, 2));
        ISecurityToken.Safeguards[4] memory wrong = [
            ISecurityToken.Safeguards(0, 1, 2, 2),
            ISecurityToken.Safeguards(1, 0, 2, 2),
            ISecurityToken.Safeguards(90 days + 1, 1, 2, 2),
            ISecurityToken.Safeguards(1, 90 days + 1, 2, 2)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
            this.deploy(terms, wrong[i]);
        }
    }

    function test_EverySentenceIsWhatThePortalShows() public view {
        string[26] memory sentences = [
            "No restriction",
            "The security is paused",
            "The sender is not a holder's address",
            "The recipient is the zero address or the sender",
            "The sender's address has no SBT",
            "The sender's SBT is not active yet",
            "The sender's SBT has expired",
            "The sender's SBT is suspended",
            "The sender's SBT was issued by a key that is no longer trusted",
            "The sender's SBT was attested by a key that is no longer trusted",
            "The recipient's address has no SBT",
            "The recipient's SBT is not active yet",
            "The recipient's SBT has expired",
            "The recipient's SBT is suspended",
            "The recipient's SBT was issued by a key that is no longer trusted",
            "The recipient's SBT was attested by a key that is no longer trusted",
            "The recipient is not admitted to this security",
            "The amount is above the balance",
            "The amount is above the part that is not frozen",
            "The sender's wallet is locked by a recovery",
            "The lock-up has not ended",
            "Transfers are closed around the record date",
            "Only qualified institutional investors may receive",
            "The highest number of holders is reached",
            "The amount, or what is left, is below the minimum lot",
            "Only the whole balance may be transferred"
        ];
        uint8[26] memory codes =
            [0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 30, 31, 32, 33, 40, 41, 42, 43, 44, 45];
        for (uint256 i = 0; i < 26; ++i) {
            _same(codes[i], sentences[i]);
        }
        uint8[8] memory unknown = [4, 10, 17, 20, 27, 34, 46, 255];
        for (uint256 i = 0; i < 8; ++i) {
            _same(unknown[i], "Unknown restriction code");
        }
    }

    // ------------------------------------------------------------------------------------------------------------ helpers

    function _same(uint8 code, string memory sentence) private view {
        _true(keccak256(bytes(token.messageForTransferRestriction(code))) == keccak256(bytes(sentence)), sentence);
    }

    function _window(uint48 from, uint48 until, bool accepted) private {
        vm.prank(agent);
        (bool ok,) = address(token).call(abi.encodeCall(token.setTransferFreeze, (from, until)));
        _true(ok == accepted, accepted ? "should be accepted" : "should be refused");
    }

    function _expectSbt() private {
        vm.expectEmit(address(sbt));
    }

    function _expectToken() private {
        vm.expectEmit(address(token));
    }

    function _schedule(bytes memory data) private {
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
    }
}
