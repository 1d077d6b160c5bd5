// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Roles} from "../src/Roles.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {Base} from "./Base.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @dev An ERC-1271 wallet that behaves as badly as it is told to.
contract MoodyWallet {
    enum Mood {
        Approves,
        Denies,
        Reverts,
        AnswersShort,
        AnswersTrue,
        AnswersDirty,
        BurnsGas
    }

    Mood public mood;

    function set(Mood mood_) external {
        mood = mood_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes32) {
        bytes4 magic = this.isValidSignature.selector;
        if (mood == Mood.Reverts) revert("no");
        if (mood == Mood.Denies) return bytes32(0);
        if (mood == Mood.AnswersTrue) return bytes32(uint256(1));
        if (mood == Mood.AnswersDirty) return bytes32(magic) | bytes32(uint256(1));
        if (mood == Mood.AnswersShort) {
            assembly ("memory-safe") {
                mstore(0, magic)
                return(0, 4)
            }
        }
        while (mood == Mood.BurnsGas) {}
        return bytes32(magic);
    }
}

contract BadInputTest is Base {
    uint256 private constant SECOND_KEY = 0xA77E7;

    function setUp() public override {
        super.setUp();
        _holder(alice, 100);
        _holder(bob, 50);
    }

    // -------------------------------------------------------------------------------------------------------- signatures

    function test_RevertWhen_SignatureIsEmptyShortLongOrCompact() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        bytes memory good = _sign(ATTESTOR_KEY, a);
        uint256[6] memory lengths = [uint256(0), 1, 32, 64, 66, 130];
        for (uint256 i = 0; i < lengths.length; ++i) {
            bytes memory bad = new bytes(lengths[i]);
            for (uint256 j = 0; j < bad.length; ++j) {
                bad[j] = good[j % 65];
            }
            _refuses(a, attestor, bad, _invalid(attestor));
        }
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, sbt.attestationDigest(a));
        // EIP-2098: the same signature in 64 bytes.
        _refuses(a, attestor, abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255)), _invalid(attestor));
    }

    function test_RevertWhen_SignatureHasAnotherV() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, sbt.attestationDigest(a));
        uint8[5] memory others = [v == 27 ? 28 : 27, 0, 1, v + 8, 255];
        for (uint256 i = 0; i < others.length; ++i) {
            _refuses(a, attestor, abi.encodePacked(r, s, others[i]), _invalid(attestor));
        }
    }

    function test_RevertWhen_SignatureIsAllZero() public {
        // An attestor at the zero address must not be what a failed recovery answers with.
        IInvestorSBT.Attestation memory a = _attestation(carol);
        _refuses(a, attestor, new bytes(65), _invalid(attestor));
        manager.grantRole(Roles.ATTESTOR, address(0), 0);
        _refuses(a, address(0), new bytes(65), _invalid(address(0)));
    }

    function testFuzz_RevertWhen_SignatureIsHighS(uint256 key) public {
        key = _bound(key, 1, CURVE_ORDER - 1);
        manager.grantRole(Roles.ATTESTOR, vm.addr(key), 0);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, sbt.attestationDigest(a));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _refuses(a, vm.addr(key), twin, _invalid(vm.addr(key)));
    }

    function test_RevertWhen_ARenewalIsSignedBadly() public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ATTESTOR_KEY, sbt.attestationDigest(a));
        bytes[5] memory wrong = [
            bytes(""),
            abi.encodePacked(r, s),
            abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255)),
            abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v, v)
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            _refusesRenewal(a, attestor, wrong[i], _invalid(attestor));
        }
        vm.prank(issuer);
        sbt.renew(a, attestor, abi.encodePacked(r, s, v));
    }

    function test_RevertWhen_APermitIsMalleableOrOfNobody() public {
        address dan = vm.addr(SECOND_KEY);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SECOND_KEY, _permitDigest(dan, 0, _now()));
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
        token.permit(dan, thief, 10, _now(), v == 27 ? 28 : 27, r, high);
        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        token.permit(address(0), thief, 10, _now(), 27, 0, 0);
        _eq(token.allowance(dan, thief) + token.allowance(address(0), thief), 0, "nobody may spend");
        token.permit(dan, thief, 10, _now(), v, r, s);
        _eq(token.allowance(dan, thief), 10, "the signature itself is good");
    }

    function test_RevertWhen_APermitIsUsedAgainOrTooLate() public {
        address dan = vm.addr(SECOND_KEY);
        uint256 deadline = _now();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SECOND_KEY, _permitDigest(dan, 0, deadline));
        token.permit(dan, thief, 10, deadline, v, r, s);
        vm.prank(dan);
        token.approve(thief, 0);
        // Under the next nonce the same signature is that of another, random address.
        address other = ecrecover(_permitDigest(dan, 1, deadline), v, r, s);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, other, dan));
        token.permit(dan, thief, 10, deadline, v, r, s);
        (v, r, s) = vm.sign(SECOND_KEY, _permitDigest(dan, 1, deadline));
        _skip(1);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, deadline));
        token.permit(dan, thief, 10, deadline, v, r, s);
        _eq(token.allowance(dan, thief), 0, "what was taken back stays taken back");
    }

    // ---------------------------------------------------------------------------------------------------------- ERC-1271

    function test_RevertWhen_AWalletRevertsDeniesOrAnswersNonsense() public {
        MoodyWallet wallet = _wallet();
        IInvestorSBT.Attestation memory a = _attestation(carol);
        for (uint8 mood = 1; mood <= uint8(MoodyWallet.Mood.AnswersDirty); ++mood) {
            wallet.set(MoodyWallet.Mood(mood));
            _refuses(a, address(wallet), "", _invalid(address(wallet)));
        }
        _true(!sbt.isUsed(sbt.attestationDigest(a)), "a refused attestation is not used up");
        wallet.set(MoodyWallet.Mood.Approves);
        vm.prank(issuer);
        sbt.issue(a, address(wallet), "");
    }

    function test_RevertWhen_AWalletBurnsAllGas() public {
        MoodyWallet wallet = _wallet();
        wallet.set(MoodyWallet.Mood.BurnsGas);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        vm.prank(issuer);
        (bool ok,) =
            address(sbt).call{gas: 3_000_000}(abi.encodeCall(sbt.issue, (a, address(wallet), "")));
        _true(!ok, "no answer is no signature");
        _eq(sbt.standingOf(carol), 1, "nothing was issued");
    }

    function test_AWalletThatChangesItsMindIsNotAskedAgain() public {
        MoodyWallet wallet = _wallet();
        IInvestorSBT.Attestation memory a = _attestation(carol);
        vm.prank(issuer);
        sbt.issue(a, address(wallet), "");
        wallet.set(MoodyWallet.Mood.Reverts);
        _skip(ACTIVATION);
        _true(sbt.isEffective(carol), "what was validated stays valid: distrust ends it, not the wallet's mood");
        wallet.set(MoodyWallet.Mood.Approves);
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationUsed.selector, sbt.attestationDigest(a))
        );
        vm.prank(issuer);
        sbt.renew(a, address(wallet), "");
        vm.prank(sbtGuardian);
        sbt.distrust(address(wallet), 0);
        _eq(sbt.standingOf(carol), 6, "distrusted like a key");
    }

    function test_AWalletThatChangedItsMindRenewsNothing() public {
        MoodyWallet wallet = _wallet();
        IInvestorSBT.Attestation memory a = _attestation(carol);
        vm.prank(issuer);
        sbt.issue(a, address(wallet), "");
        IInvestorSBT.Attestation memory b = _attestation(carol);
        for (uint8 mood = 1; mood <= uint8(MoodyWallet.Mood.AnswersDirty); ++mood) {
            wallet.set(MoodyWallet.Mood(mood));
            _refusesRenewal(b, address(wallet), "", _invalid(address(wallet)));
        }
        _eq(sbt.sbtOf(carol).expiresAt, a.expiresAt, "as it was issued");
        _true(!sbt.isUsed(sbt.attestationDigest(b)), "a refused renewal is not used up");
        wallet.set(MoodyWallet.Mood.Approves);
        vm.prank(issuer);
        sbt.renew(b, address(wallet), "");
    }

    /// @dev A wallet that approves whatever it is shown is believed in nothing but that it signed.
    function test_AWalletThatApprovesEverythingIsHeldToTheRest() public {
        MoodyWallet wallet = _wallet();
        IInvestorSBT.Attestation memory a = _attestation(carol);
        a.deadline = uint48(_now() - 1);
        _refuses(
            a,
            address(wallet),
            "",
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlinePassed.selector, a.deadline)
        );
        a = _attestation(carol);
        vm.prank(address(wallet));
        sbt.voidAttestation(a.nonce);
        _refuses(
            a,
            address(wallet),
            "",
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationVoided.selector, address(wallet), a.nonce)
        );
        a = _attestation(address(0));
        _refuses(a, address(wallet), "", abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidHolder.selector));
        manager.revokeRole(Roles.ATTESTOR, address(wallet));
        a = _attestation(carol);
        _refuses(
            a, address(wallet), "", abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NotAttestor.selector, wallet)
        );
        _eq(sbt.standingOf(carol), 1, "nothing was issued");
    }

    function test_RevertWhen_AWalletsCodeIsNoLongerAllowed() public {
        MoodyWallet wallet = _wallet();
        sbt.allowAttestorCode(address(wallet).codehash, false);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        _refuses(
            a,
            address(wallet),
            "",
            abi.encodeWithSelector(
                IInvestorSBT.InvestorSBT_AttestorCodeNotAllowed.selector, address(wallet), address(wallet).codehash
            )
        );
    }

    function test_AKeyWithCodeStillSignsForItself() public {
        // EIP-7702: an account may carry code and keep its key.
        vm.etch(attestor, hex"ef0100000000000000000000000000000000000000dead");
        _issueTo(carol);
        _true(sbt.sbtOf(carol).attestor == attestor, "issued");
    }

    // ------------------------------------------------------------------------------------------------------------ nonces

    function test_ReusedNonce_AnotherAttestationIsNotTheSameOne() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        IInvestorSBT.Attestation memory b = _attestation(thief);
        b.nonce = a.nonce;
        _issue(a);
        _issue(b);
        _true(sbt.isUsed(sbt.attestationDigest(a)) && sbt.isUsed(sbt.attestationDigest(b)), "each is used up alone");
        bytes memory signature = _sign(ATTESTOR_KEY, b);
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationUsed.selector, sbt.attestationDigest(b))
        );
        vm.prank(issuer);
        sbt.renew(b, attestor, signature);
    }

    function test_ReusedNonce_OneVoidEndsAllThatCarryIt() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        IInvestorSBT.Attestation memory b = _attestation(thief);
        b.nonce = a.nonce;
        vm.prank(attestor);
        sbt.voidAttestation(a.nonce);
        bytes memory expected =
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationVoided.selector, attestor, a.nonce);
        _refuses(a, attestor, _sign(ATTESTOR_KEY, a), expected);
        _refuses(b, attestor, _sign(ATTESTOR_KEY, b), expected);
    }

    function test_ReusedNonce_TwoOfficersHaveTheirOwn() public {
        address second = vm.addr(SECOND_KEY);
        manager.grantRole(Roles.ATTESTOR, second, 0);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        vm.prank(attestor);
        sbt.voidAttestation(a.nonce);
        bytes memory signature = _sign(SECOND_KEY, a);
        vm.prank(issuer);
        sbt.issue(a, second, signature);
        _true(!sbt.isVoided(second, a.nonce), "not the second officer's");
    }

    function test_RevertWhen_TheSameAttestationComesFromASecondOfficer() public {
        address second = vm.addr(SECOND_KEY);
        manager.grantRole(Roles.ATTESTOR, second, 0);
        IInvestorSBT.Attestation memory a = _attestation(carol);
        _issue(a);
        bytes memory signature = _sign(SECOND_KEY, a);
        vm.expectRevert(
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_AttestationUsed.selector, sbt.attestationDigest(a))
        );
        vm.prank(issuer);
        sbt.renew(a, second, signature);
    }

    // ---------------------------------------------------------------------------------------- deadlines and the zero address

    function testFuzz_RevertWhen_DeadlineIsPast(uint256 late) public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        a.deadline = uint48(_now() - _bound(late, 1, _now()));
        _refuses(
            a,
            attestor,
            _sign(ATTESTOR_KEY, a),
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlinePassed.selector, a.deadline)
        );
    }

    function testFuzz_RevertWhen_TheDeadlineOfARenewalIsPast(uint256 late) public {
        IInvestorSBT.Attestation memory a = _attestation(alice);
        a.deadline = uint48(_now() - _bound(late, 1, _now()));
        bytes memory expected = abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlinePassed.selector, a.deadline);
        _refusesRenewal(a, attestor, _sign(ATTESTOR_KEY, a), expected);
    }

    function test_RevertWhen_WhatTheControllerAnnouncedHasLapsed() public {
        bytes memory data = abi.encodeCall(token.burn, (alice, 1, "x"));
        bytes32 id = manager.hashOperation(controller, address(token), data);
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY + manager.expiration());
        vm.prank(controller);
        (bool ok, bytes memory result) = address(token).call(data);
        bytes memory expected = abi.encodeWithSelector(IAccessManager.AccessManagerExpired.selector, id);
        _true(!ok && keccak256(result) == keccak256(expected), "announced anew or not at all");
        _eq(token.balanceOf(alice), 100, "nothing was burned");
    }

    function test_TheZeroAddressIsNoPartyToAnything() public {
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, 0, address(0), uint8(21))
        );
        _admit(address(0));
        bytes memory short =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(0), 0, 1);
        _refusesControl(abi.encodeWithSignature("forcedTransfer(address,address,uint256)", address(0), bob, 1), short);
        _refusesControl(abi.encodeCall(token.burn, (address(0), 1, "x")), short);
        _refusesControl(abi.encodeCall(token.redeemEarly, (address(0), 1)), short);
        _refusesControl(
            abi.encodeWithSignature("forcedTransfer(address,address,uint256)", alice, address(0), 1),
            abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, uint8(3))
        );
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_NotSameSubject.selector, alice, address(0))
        );
        vm.prank(agent);
        token.announceRecovery(alice, address(0));
        // Freezing nobody holds nobody back.
        vm.prank(agent);
        token.freeze(address(0), 1);
        vm.prank(alice);
        token.transfer(bob, 1);
        _eq(token.balanceOf(address(0)), 0, "it never holds anything");
    }

    function test_RevertWhen_AttestationsAreForTheZeroAddress() public {
        IInvestorSBT.Attestation memory a = _attestation(address(0));
        bytes memory signature = _sign(ATTESTOR_KEY, a);
        _refuses(a, attestor, signature, abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidHolder.selector));
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_NoSbt.selector, address(0)));
        vm.prank(issuer);
        sbt.renew(a, attestor, signature);
        _eq(sbt.standingOf(address(0)), 1, "the zero address never has an SBT");
    }

    function test_RevertWhen_AHugeExpiryOrDeadlineWouldWrap() public {
        IInvestorSBT.Attestation memory a = _attestation(carol);
        a.expiresAt = type(uint48).max;
        _refuses(
            a,
            attestor,
            _sign(ATTESTOR_KEY, a),
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidExpiry.selector, a.expiresAt)
        );
        a.deadline = type(uint48).max;
        _refuses(
            a,
            attestor,
            _sign(ATTESTOR_KEY, a),
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_DeadlineTooFar.selector, a.deadline)
        );
    }

    // ---------------------------------------------------------------------------------------------------------- distrust

    function test_Distrust_OfAKeyThatNeverIssuedTouchesNobody() public {
        for (uint256 i = 1; i <= 100; ++i) {
            vm.prank(sbtGuardian);
            sbt.distrust(address(uint160(i << 32)), 0);
        }
        _true(sbt.isEffective(alice) && sbt.isEffective(bob), "nobody else is touched");
        (bool distrusted, uint48 since) = sbt.distrustOf(address(uint160(1 << 32)));
        _true(distrusted && since == 1, "but it is remembered, from the beginning");
        vm.prank(council);
        sbt.restoreTrust(address(uint160(1 << 32)));
        _true(sbt.isEffective(alice), "lifting it touches nobody either");
    }

    function test_Distrust_BeforeTheFirstIssueStopsTheKey() public {
        address second = vm.addr(SECOND_KEY);
        manager.grantRole(Roles.ATTESTOR, second, 0);
        vm.prank(sbtGuardian);
        sbt.distrust(second, uint48(_now()));
        IInvestorSBT.Attestation memory a = _attestation(carol);
        _refuses(
            a,
            second,
            _sign(SECOND_KEY, a),
            abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyDistrusted.selector, second)
        );
        vm.prank(council);
        sbt.restoreTrust(second);
        bytes memory signature = _sign(SECOND_KEY, a);
        vm.prank(issuer);
        sbt.issue(a, second, signature);
        _skip(ACTIVATION);
        _true(sbt.isEffective(carol), "trusted again, it counts");
    }

    function test_RevertWhen_RestoringTrustThatWasNeverLost() public {
        vm.expectRevert(abi.encodeWithSelector(IInvestorSBT.InvestorSBT_KeyTrusted.selector, attestor));
        vm.prank(council);
        sbt.restoreTrust(attestor);
    }

    // ----------------------------------------------------------------------------------------------------------- batches

    function testFuzz_MintBatch_NamesTheBadEntryAndMintsNothing(uint256 seed) public {
        uint256 size = 1 + seed % 8;
        uint256 bad = (seed >> 8) % size;
        (address[] memory to, uint256[] memory amounts) = (new address[](size), new uint256[](size));
        for (uint256 i = 0; i < size; ++i) {
            (to[i], amounts[i]) = (i == bad ? thief : (i % 2 == 0 ? alice : bob), 1 + i);
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_EntryRestricted.selector, bad, thief, uint8(21)
            )
        );
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), 150, "all or nothing");
        _eq(token.balanceOf(alice) + token.balanceOf(bob), 150, "all or nothing");
    }

    function testFuzz_MintBatch_NamesTheEntryWhateverIsBadAboutIt(uint256 seed) public {
        uint256 size = 1 + seed % 6;
        uint256 bad = (seed >> 8) % size;
        (address who, uint8 code) = _unfit((seed >> 16) % 8);
        if (who == address(0)) code = 3; // a mint looks at the address before it looks for an SBT
        (address[] memory to, uint256[] memory amounts) = (new address[](size), new uint256[](size));
        for (uint256 i = 0; i < size; ++i) {
            (to[i], amounts[i]) = (i == bad ? who : (i % 2 == 0 ? alice : bob), 1 + i);
        }
        uint256 left = token.mintRemaining();
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, bad, who, code));
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), 150, "nothing was minted");
        _eq(token.mintRemaining(), left, "nor does it count against the day");
    }

    function test_MintBatch_NamesTheEntryThatTheTermsDoNotAllow() public {
        ISecurityToken.Terms memory terms = _terms();
        (terms.holderCap, terms.minimumLotUnits) = (1, 10);
        token = _deployToken(terms);
        _admit(alice);
        _admit(bob);
        (address[] memory to, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (to[0], to[1], amounts[0], amounts[1]) = (alice, bob, 10, 10);
        _refusesBatch(to, amounts, 1, 43);
        (to[1], amounts[1]) = (alice, 9);
        _refusesBatch(to, amounts, 1, 44);
        vm.prank(tokenGuardian);
        token.pause();
        _refusesBatch(to, amounts, 0, 1);
        terms.qiiOnly = true;
        token = _deployToken(terms);
        _admit(bob);
        to[0] = bob;
        _refusesBatch(to, amounts, 0, 42);
    }

    function test_MintBatch_WhoseSumIsAboveWhatIsAuthorisedMintsNothing() public {
        (address[] memory to, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (to[0], to[1], amounts[0], amounts[1]) = (alice, bob, 4_925, 4_926);
        token.setLimits(200, 40_000);
        _skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_AboveAuthorised.selector, 10_001, 10_000));
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.balanceOf(alice), 100, "all or nothing");
        amounts[1] = 4_925;
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), 10_000, "to the last unit");
    }

    function test_MintBatch_ZeroOrHugeEntriesAreRefused() public {
        (address[] memory to, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (to[0], to[1], amounts[0]) = (alice, bob, 1);
        _refusesAmount(to, amounts, 1);
        amounts[1] = type(uint256).max;
        _refusesAmount(to, amounts, 1);
        amounts[0] = 0;
        _refusesAmount(to, amounts, 0); // the first of two
        (to[1], amounts[0], amounts[1]) = (address(0), 1, 1);
        _refusesBatch(to, amounts, 1, 3);
    }

    /// @dev Fits 96 bits alone, but not on top of what is out or of the entries before it.
    function test_MintBatch_AnEntryThatIsTooMuchWithTheRestIsNamed() public {
        uint256 room = uint256(type(uint96).max) - 150;
        (address[] memory to, uint256[] memory amounts) = (new address[](3), new uint256[](3));
        (to[0], to[1], to[2]) = (bob, alice, alice);
        (amounts[0], amounts[1], amounts[2]) = (1, room - 1, 1);
        _refusesAmount(to, amounts, 1);
        (amounts[1], amounts[2]) = (room / 2, room - room / 2);
        _refusesAmount(to, amounts, 2);
        // One less is an amount there can be; the sum is above what is authorised.
        amounts[2] = room - room / 2 - 2;
        token.setLimits(200, 2 * uint256(type(uint96).max));
        _skip(1 days);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_AboveAuthorised.selector, type(uint96).max - 1, uint256(10_000)
            )
        );
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), 150, "all or nothing");
    }

    function testFuzz_MintBatch_NamesTheEntryWhoseAmountCannotBe(uint256 seed, uint256 huge) public {
        uint256 size = 1 + seed % 6;
        uint256 bad = (seed >> 8) % size;
        (address[] memory to, uint256[] memory amounts) = (new address[](size), new uint256[](size));
        for (uint256 i = 0; i < size; ++i) {
            (to[i], amounts[i]) = (i % 2 == 0 ? alice : bob, 1 + i);
        }
        amounts[bad] = (seed >> 16) % 4 == 0 ? 0 : _bound(huge, type(uint96).max - 150, type(uint256).max);
        _refusesAmount(to, amounts, bad);
    }

    function test_RevertWhen_ABatchIsEmptyOrItsListsDiffer() public {
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidBatch.selector, 0, 0));
        vm.prank(agent);
        token.mintBatch(new address[](0), new uint256[](0));
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidBatch.selector, 1, 2));
        vm.prank(agent);
        token.mintBatch(_one(alice), new uint256[](2));
    }

    function test_MintBatch_AtMaturityMintsNothing() public {
        uint48 maturity = uint48(START + 365 days);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = 1;
        vm.warp(maturity);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_Matured.selector, maturity));
        vm.prank(agent);
        token.mintBatch(_one(alice), amounts);
    }

    function test_MintBatch_OfTheSameHolderTwiceAddsUp() public {
        (address[] memory to, uint256[] memory amounts) = (new address[](2), new uint256[](2));
        (to[0], to[1], amounts[0], amounts[1]) = (alice, alice, 3, 4);
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.balanceOf(alice), 107, "both");
        _eq(token.totalSupply(), 157, "supply");
        _eq(token.holderCount(), 2, "one holder");
    }

    function test_Admit_NamesTheBadEntryAndAdmitsNobody() public {
        _issueTo(carol);
        _skip(ACTIVATION);
        address[] memory list = new address[](3);
        (list[0], list[1], list[2]) = (carol, thief, alice);
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, 1, thief, uint8(21))
        );
        vm.prank(agent);
        token.admit(list);
        _true(!token.isAdmitted(carol), "all or nothing");
    }

    function testFuzz_Admit_NamesTheEntryWhateverIsBadAboutIt(uint256 seed) public {
        _issueTo(carol);
        _skip(ACTIVATION);
        uint256 size = 1 + seed % 6;
        uint256 bad = (seed >> 8) % size;
        (address who, uint8 code) = _unfit((seed >> 16) % 7);
        address[] memory list = new address[](size);
        for (uint256 i = 0; i < size; ++i) {
            list[i] = i == bad ? who : carol;
        }
        uint256 left = token.admissionsRemaining();
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, bad, who, code));
        vm.prank(agent);
        token.admit(list);
        _true(!token.isAdmitted(carol), "nobody was admitted");
        _eq(token.admissionsRemaining(), left, "nor does it count against the day");
    }

    function test_Admit_OfNobodyAndTheSameTwice() public {
        _issueTo(carol);
        _skip(ACTIVATION);
        uint256 left = token.admissionsRemaining();
        vm.recordLogs();
        vm.prank(agent);
        token.admit(new address[](0));
        vm.prank(agent);
        token.dismiss(new address[](0));
        _eq(vm.getRecordedLogs().length, 0, "nobody, nothing");
        address[] memory list = new address[](2);
        (list[0], list[1]) = (carol, carol);
        vm.prank(agent);
        token.admit(list);
        _true(token.isAdmitted(carol), "admitted");
        _eq(token.admissionsRemaining(), left - 1, "counts once");
    }

    function test_Dismiss_OfStrangersAndTwiceChangesNothing() public {
        address[] memory list = new address[](4);
        (list[0], list[1], list[2], list[3]) = (thief, address(0), alice, alice);
        vm.recordLogs();
        vm.prank(agent);
        token.dismiss(list);
        _eq(vm.getRecordedLogs().length, 1, "one dismissal is told");
        _true(!token.isAdmitted(alice) && token.isAdmitted(bob), "alice only");
        _eq(token.balanceOf(alice), 100, "her units stay hers");
    }

    // ------------------------------------------------------------------------------------------- amounts above the balance

    function testFuzz_RevertWhen_AnyPrivilegedCallTakesMoreThanTheBalance(uint256 above) public {
        above = _bound(above, 101, type(uint256).max);
        bytes memory short =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 100, above);
        bytes[] memory calls = new bytes[](4);
        calls[0] = abi.encodeWithSignature("forcedTransfer(address,address,uint256)", alice, bob, above);
        calls[1] = abi.encodeWithSignature(
            "forcedTransfer(address,address,uint256,bytes32)", alice, bob, above, bytes32("x")
        );
        calls[2] = abi.encodeCall(token.redeemEarly, (alice, above));
        calls[3] = abi.encodeCall(token.burn, (alice, above, "x"));
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(controller);
            manager.schedule(address(token), calls[i], 0);
        }
        _skip(CONTROLLER_DELAY);
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(controller);
            (bool ok, bytes memory result) = address(token).call(calls[i]);
            _true(!ok && keccak256(result) == keccak256(short), "refused, with the figures");
        }
        vm.warp(START + 365 days);
        vm.expectRevert(short);
        vm.prank(agent);
        token.redeem(alice, above);
        _eq(token.balanceOf(alice), 100, "nothing moved");
        _eq(token.totalSupply(), 150, "nothing burned");
    }

    function test_RevertWhen_MoreIsGivenBackThanWasRedeemed() public {
        _control(abi.encodeCall(token.redeemEarly, (alice, 10)));
        uint256[3] memory wrong = [uint256(0), 11, type(uint256).max];
        for (uint256 i = 0; i < 3; ++i) {
            _refusesControl(
                abi.encodeCall(token.reverseRedemption, (alice, wrong[i], "x")),
                abi.encodeWithSelector(ISecurityToken.SecurityToken_AboveRedeemed.selector, alice, 10, wrong[i])
            );
        }
        _refusesControl(
            abi.encodeCall(token.reverseRedemption, (bob, 1, "x")),
            abi.encodeWithSelector(ISecurityToken.SecurityToken_AboveRedeemed.selector, bob, 0, 1)
        );
    }

    function test_RevertWhen_BurningOrRedeemingNothing() public {
        bytes memory expected = abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidAmount.selector, 0);
        _refusesControl(abi.encodeCall(token.burn, (alice, 0, "x")), expected);
        _refusesControl(abi.encodeCall(token.redeemEarly, (alice, 0)), expected);
        vm.warp(START + 365 days);
        vm.expectRevert(expected);
        vm.prank(agent);
        token.redeem(alice, 0);
    }

    function test_RevertWhen_AllowanceIsAboveTheBalanceButTheBalanceIsNot() public {
        vm.prank(alice);
        token.approve(bob, type(uint256).max);
        _expectCode(31);
        vm.prank(bob);
        token.transferFrom(alice, bob, 101);
    }

    // ---------------------------------------------------------------------------------------------- frozen above the balance

    function testFuzz_FrozenAboveTheBalanceHoldsAllAndNoMore(uint256 frozen) public {
        frozen = _bound(frozen, 101, type(uint96).max - 1);
        vm.prank(agent);
        token.freeze(alice, frozen);
        _eq(token.getFrozenTokens(alice), frozen, "kept as given");
        _eq(token.unfrozenBalanceOf(alice), 0, "never below zero");
        _expectCode(32);
        vm.prank(alice);
        token.transfer(bob, 1);
        _expectCode(31);
        vm.prank(alice);
        token.transfer(bob, 101);
        vm.prank(bob);
        token.transfer(alice, 50);
        _eq(token.unfrozenBalanceOf(alice), 150 > frozen ? 150 - frozen : 0, "what comes in is held too");
    }

    function test_ForcedTransferOfPartOfAnOverfrozenBalance() public {
        vm.prank(agent);
        token.freeze(alice, 1_000);
        _control(abi.encodeWithSignature("forcedTransfer(address,address,uint256)", alice, bob, 30));
        _eq(token.balanceOf(alice), 70, "moved");
        _eq(token.getFrozenTokens(alice), 70, "the rest stays frozen, as ERC-7943 asks");
        _eq(token.unfrozenBalanceOf(alice), 0, "nothing came free");
    }

    function test_WhatIsTakenFromAnOverfrozenBalanceLeavesTheRestFrozen() public {
        vm.prank(agent);
        token.freeze(alice, 1_000);
        _control(abi.encodeCall(token.burn, (alice, 10, "x")));
        _eq(token.getFrozenTokens(alice), 90, "after a burn");
        _control(abi.encodeCall(token.setFrozenTokens, (alice, 1_000)));
        _control(abi.encodeCall(token.redeemEarly, (alice, 20)));
        _eq(token.getFrozenTokens(alice), 70, "after an early redemption");
        _control(abi.encodeCall(token.setFrozenTokens, (alice, 1_000)));
        _control(abi.encodeCall(token.reverseRedemption, (alice, 20, "x")));
        _eq(token.unfrozenBalanceOf(alice), 0, "what is given back is held too");
        vm.warp(START + 365 days);
        vm.prank(agent);
        token.redeem(alice, 90);
        _eq(token.balanceOf(alice), 0, "frozen or not, it is paid at maturity");
        _eq(token.getFrozenTokens(alice), 0, "and nothing is left to freeze");
    }

    function test_RecoveryCarriesAFreezeAboveTheBalance() public {
        _issueTo(carol, _subject(alice), PERSON);
        _skip(ACTIVATION);
        _admit(carol);
        vm.prank(agent);
        token.freeze(alice, 1_000);
        vm.prank(agent);
        token.announceRecovery(alice, carol);
        _skip(RECOVERY_DELAY);
        vm.prank(agent);
        token.recover(alice, carol);
        _eq(token.balanceOf(carol), 100, "everything");
        _eq(token.getFrozenTokens(carol), 1_000, "as frozen as it was");
        _eq(token.unfrozenBalanceOf(carol), 0, "nothing came free on the way");
        _eq(token.getFrozenTokens(alice), 0, "nothing is left behind");
    }

    function test_SetFrozenTokens_AcceptsMoreThanTheBalanceAndZero() public {
        _control(abi.encodeCall(token.setFrozenTokens, (alice, type(uint256).max)));
        _eq(token.getFrozenTokens(alice), type(uint256).max, "everything");
        _control(abi.encodeCall(token.setFrozenTokens, (alice, 0)));
        _eq(token.unfrozenBalanceOf(alice), 100, "nothing");
    }

    function test_RevertWhen_TheAgentLowersOrRepeatsAFreeze() public {
        vm.prank(agent);
        token.freeze(alice, 40);
        uint256[3] memory notMore = [uint256(0), 39, 40];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(ISecurityToken.SecurityToken_FreezeNotRaised.selector, alice, 40, notMore[i])
            );
            vm.prank(agent);
            token.freeze(alice, notMore[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------------------ helpers

    function _wallet() private returns (MoodyWallet wallet) {
        wallet = new MoodyWallet();
        manager.grantRole(Roles.ATTESTOR, address(wallet), 0);
        sbt.allowAttestorCode(address(wallet).codehash, true);
    }

    function _invalid(address signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IInvestorSBT.InvestorSBT_InvalidSignature.selector, signer);
    }

    function _refuses(
        IInvestorSBT.Attestation memory a,
        address signer,
        bytes memory signature,
        bytes memory expected
    ) private {
        vm.expectRevert(expected);
        vm.prank(issuer);
        sbt.issue(a, signer, signature);
    }

    function _refusesRenewal(
        IInvestorSBT.Attestation memory a,
        address signer,
        bytes memory signature,
        bytes memory expected
    ) private {
        vm.expectRevert(expected);
        vm.prank(issuer);
        sbt.renew(a, signer, signature);
    }

    function _refusesBatch(address[] memory to, uint256[] memory amounts, uint256 entry, uint8 code) private {
        uint256 supply = token.totalSupply();
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, entry, to[entry], code)
        );
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), supply, "all or nothing");
    }

    function _refusesAmount(address[] memory to, uint256[] memory amounts, uint256 entry) private {
        (uint256 supply, uint256 left) = (token.totalSupply(), token.mintRemaining());
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidEntry.selector, entry, amounts[entry])
        );
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.totalSupply(), supply, "all or nothing");
        _eq(token.mintRemaining(), left, "nor does it count against the day");
    }

    /// @dev Somebody who cannot receive, and the code that says why: no SBT, the zero address, pending, expired, suspended,
    /// its issuer or attestor distrusted, or verified but not admitted.
    function _unfit(uint256 why) private returns (address who, uint8 code) {
        if (why == 0) return (thief, 21);
        if (why == 1) return (address(0), 21);
        who = address(0xBAD);
        IInvestorSBT.Attestation memory a = _attestation(who);
        if (why == 3) a.expiresAt = uint48(_now() + ACTIVATION + 1);
        (address submitter, uint256 key) = (issuer, ATTESTOR_KEY);
        if (why == 5) manager.grantRole(Roles.SBT_ISSUER, submitter = address(0x15501), 0);
        if (why == 6) manager.grantRole(Roles.ATTESTOR, vm.addr(key = SECOND_KEY), 0);
        bytes memory signature = _sign(key, a);
        vm.prank(submitter);
        sbt.issue(a, vm.addr(key), signature);
        if (why == 2) return (who, 22);
        _skip(ACTIVATION + 1);
        if (why == 3) return (who, 23);
        if (why == 7) return (who, 30);
        vm.prank(sbtGuardian);
        if (why == 4) sbt.suspend(who);
        else sbt.distrust(why == 5 ? submitter : vm.addr(key), 0);
        code = uint8(20 + why);
    }

    function _permitDigest(address owner, uint256 nonce, uint256 deadline) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, owner, thief, 10, nonce, deadline));
        return keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
    }

    function _refusesControl(bytes memory data, bytes memory expected) private {
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.prank(controller);
        (bool ok, bytes memory result) = address(token).call(data);
        _true(!ok && keccak256(result) == keccak256(expected), "refused with its reason");
    }
}
