// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecurityToken} from "../src/SecurityToken.sol";
import {IERC1404} from "../src/interfaces/IERC1404.sol";
import {IERC7943Fungible} from "../src/interfaces/IERC7943.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {Base} from "./Base.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";

contract SecurityTokenTest is Base {
    bytes32 private constant REASON = "court order";

    function setUp() public override {
        super.setUp();
        _issueTo(alice);
        _issueTo(bob);
        _issueTo(carol);
        _skip(ACTIVATION);
        _admit(alice);
        _admit(bob);
        _mint(alice, 100);
    }

    // ---------------------------------------------------------------------------------------------------------- transfer

    function test_Transfer_BetweenAdmittedHolders() public {
        vm.expectEmit(address(token));
        emit IERC20.Transfer(alice, bob, 40);
        vm.prank(alice);
        token.transfer(bob, 40);
        _balances(60, 40, 2);
        vm.prank(alice);
        token.transfer(bob, 60);
        _balances(0, 100, 1);
        _eq(token.totalSupply(), 100, "supply");
    }

    function test_Transfer_OfZeroIsAnOrdinaryTransfer() public {
        vm.prank(alice);
        token.transfer(bob, 0);
        _balances(100, 0, 1);
    }

    function test_RevertWhen_ReceiverHasNoSbt() public {
        _refused(thief, 1, 21);
    }

    function test_RevertWhen_ReceiverIsNotAdmitted() public {
        _refused(carol, 1, 30);
    }

    function test_RevertWhen_ReceiverSbtWasReissued() public {
        vm.prank(sbtGuardian);
        sbt.suspend(bob);
        _refused(bob, 1, 24);
        vm.prank(issuer);
        sbt.revoke(bob);
        _refused(bob, 1, 21);
        _issueTo(bob);
        _refused(bob, 1, 22);
        _skip(ACTIVATION);
        _refused(bob, 1, 30);
        _true(!token.isAdmitted(bob), "admission was of the former SBT");
        _admit(bob);
        vm.prank(alice);
        token.transfer(bob, 1);
    }

    function test_RevertWhen_ZeroOrSelf() public {
        _refused(address(0), 1, 3);
        _refused(alice, 1, 3);
        _eq(token.detectTransferRestriction(address(0), bob, 1), 2, "from zero");
    }

    function test_RevertWhen_AboveBalanceOrUnfrozen() public {
        _refused(bob, 101, 31);
        _refused(bob, type(uint256).max, 31);
        vm.prank(agent);
        token.freeze(alice, 30);
        _refused(bob, 71, 32);
        vm.prank(alice);
        token.transfer(bob, 70);
    }

    function test_RevertWhen_StandingsFail() public {
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        _refused(bob, 1, 14);
        vm.prank(council);
        sbt.reinstate(alice);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, 0);
        _refused(bob, 1, 15);
        vm.prank(council);
        sbt.restoreTrust(issuer);
        vm.prank(sbtGuardian);
        sbt.distrust(attestor, 0);
        _refused(bob, 1, 16);
        vm.prank(council);
        sbt.restoreTrust(attestor);
        _skip(365 days);
        _refused(bob, 1, 13);
    }

    function test_TransferFrom_SpendsTheAllowanceThroughTheGate() public {
        vm.prank(alice);
        token.approve(carol, 50);
        vm.prank(carol);
        token.transferFrom(alice, bob, 20);
        _balances(80, 20, 2);
        _eq(token.allowance(alice, carol), 30, "allowance");
        _expectCode(30);
        vm.prank(carol);
        token.transferFrom(alice, carol, 10);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, carol, 30, 31));
        vm.prank(carol);
        token.transferFrom(alice, bob, 31);
    }

    function test_Permit_IsNoWayAroundTheGate() public {
        uint256 key = 0xD0E;
        address dan = vm.addr(key);
        _holder(dan, 10);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                dan,
                thief,
                10,
                0,
                _now()
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash)));
        token.permit(dan, thief, 10, _now(), v, r, s);
        _eq(token.allowance(dan, thief), 10, "allowance");
        _expectCode(21);
        vm.prank(thief);
        token.transferFrom(dan, thief, 10);
    }

    // ------------------------------------------------------------------------------------------------------------- policy

    function test_Policy_LockUp() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.lockUpUntil = uint48(_now() + 30 days);
        _use(terms);
        _refused(bob, 1, 40);
        _skip(30 days);
        _allowed(bob, 1);
    }

    function test_Policy_QiiOnly() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.qiiOnly = true;
        address fund = address(0xF04D);
        _issueTo(fund, _subject(fund), QII);
        _skip(ACTIVATION);
        token = _deployToken(terms);
        _admit(alice);
        _admit(fund);
        _expectCode(42);
        _mint(alice, 1);
        _mint(fund, 10);
        vm.prank(fund);
        _expectCode(42);
        token.transfer(alice, 1);
        _true(!token.canReceive(alice) && token.canReceive(fund), "canReceive");
        address second = address(0xF04E);
        _issueTo(second, _subject(second), QII);
        _skip(ACTIVATION);
        _admit(second);
        vm.prank(fund);
        token.transfer(second, 4);
        _eq(token.balanceOf(second), 4, "from fund to fund");
    }

    function test_Policy_HolderCap() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.holderCap = 1;
        _use(terms);
        _refused(bob, 1, 43);
        _expectCode(43);
        _mint(bob, 1);
        _mint(alice, 1);
        _allowed(bob, 101); // everything: one leaves, one joins
        _eq(token.holderCount(), 1, "holders");
    }

    function test_Policy_MinimumLot() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.minimumLotUnits = 10;
        _use(terms);
        _refused(bob, 9, 44);
        _refused(bob, 95, 44); // 5 would stay
        _expectCode(44);
        _mint(bob, 9);
        _allowed(bob, 90);
        _refused(bob, 1, 44);
        _allowed(bob, 0); // nothing is no odd lot
        vm.prank(alice);
        token.transfer(bob, 10);
        _balances(0, 100, 1);
        terms.minimumLotUnits = 2;
        _use(terms);
        _refused(bob, 1, 44);
        _refused(bob, 99, 44);
        _allowed(bob, 2);
    }

    function test_Policy_WholeBalanceOnly() public {
        ISecurityToken.Terms memory terms = _terms();
        terms.wholeBalanceOnly = true;
        _use(terms);
        _refused(bob, 99, 45);
        _allowed(bob, 100);
    }

    function test_TransferFreeze_ClosesItsWindowOnly() public {
        uint48 from = uint48(_now() + 1 days);
        _window(from, from + 3 days);
        _allowed(bob, 1);
        vm.warp(from);
        _refused(bob, 1, 41);
        vm.warp(from + 3 days);
        vm.prank(alice);
        token.transfer(bob, 1);
    }

    function test_RevertWhen_TransferFreezeWouldLast() public {
        uint48 t = uint48(_now());
        _badWindow(t - 1, t + 1 days); // past
        _badWindow(t + 1 days, t + 1 days); // empty
        _badWindow(t + 2 days, t + 1 days); // backwards
        _badWindow(t, t + 10 days + 1); // long
        _badWindow(t + 60 days + 1, t + 61 days); // far
        _badWindow(0, t + 1 days); // only the two zeroes together call off
        _badWindow(t + 1 days, 0);
        _window(t, t + 10 days);
        _badWindow(t + 40 days, t + 41 days); // one is open
        _badWindow(0, 0); // cannot be called off once open
        vm.warp(t + 10 days);
        _badWindow(t + 30 days - 1, t + 31 days); // too soon after the last
        _window(t + 30 days, t + 40 days);
        _window(0, 0); // not begun: called off
        _badWindow(t + 10 days, t + 11 days); // and the last one is not forgotten
        vm.warp(t + 30 days);
        _allowed(bob, 1);
    }

    // -------------------------------------------------------------------------------------------------- admission, mint

    function test_RevertWhen_AdmittingWithoutAnEffectiveSbt_NamesTheEntry() public {
        address[] memory list = new address[](3);
        (list[0], list[1], list[2]) = (carol, thief, alice);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, 1, thief, 21));
        vm.prank(agent);
        token.admit(list);
        _true(!token.isAdmitted(carol), "nothing of the batch happened");
        _issueTo(thief);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, 0, thief, 22));
        _admit(thief);
    }

    function test_Admit_TwiceCountsOnce() public {
        uint256 before = token.admissionsRemaining();
        _admit(alice);
        _eq(token.admissionsRemaining(), before, "nothing to do");
        _admit(carol);
        _eq(token.admissionsRemaining(), before - 1, "one more");
    }

    function test_Dismiss_StopsReceivingNotSending() public {
        vm.prank(alice);
        token.transfer(bob, 10);
        vm.prank(agent);
        token.dismiss(_one(bob));
        _refused(bob, 1, 30);
        vm.prank(bob);
        token.transfer(alice, 10);
        _balances(100, 0, 1);
    }

    function test_RevertWhen_AdmissionLimitIsReached() public {
        token.setLimits(2, 20_000);
        address[] memory list = new address[](2);
        (list[0], list[1]) = (carol, address(0xDA4));
        _issueTo(list[1]);
        _skip(ACTIVATION);
        vm.expectRevert(RateLimiter.RateLimitExceeded.selector);
        vm.prank(agent);
        token.admit(list);
    }

    function test_Mint_StaysWithinWhatIsAuthorised() public {
        token.setLimits(200, 60_000);
        _mint(bob, 9_900);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_AboveAuthorised.selector, 10_001, 10_000));
        _mint(bob, 1);
        token.raiseAuthorisedAmount(10_001);
        _mint(bob, 1);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NotRaised.selector, 10_001, 10_001));
        token.raiseAuthorisedAmount(10_001);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, agent));
        vm.prank(agent);
        token.raiseAuthorisedAmount(20_000);
    }

    function test_RevertWhen_MintIsAboveTheDailyLimit() public {
        token.setLimits(200, 400); // half of it at once, and 100 were minted before
        _mint(alice, 40);
        vm.expectRevert(RateLimiter.RateLimitExceeded.selector);
        _mint(alice, 100);
        _eq(token.mintRemaining(), 60, "what is left of the half at once");
    }

    /// @dev 2^96 - 1 stands for "everything" where units are frozen, so nobody may come to hold as many.
    function test_RevertWhen_MintingAsManyAsStandForEverything() public {
        uint256 most = type(uint96).max;
        token.setLimits(2, 2 * most);
        _skip(1 days);
        _expectCode(30);
        _mint(carol, most); // who receives is asked first
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidAmount.selector, most));
        _mint(bob, most);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidAmount.selector, most + 99));
        _mint(alice, most - 1);
    }

    function test_RevertWhen_ABatchIsAboveTheDailyLimit() public {
        token.setLimits(200, 400); // half of it at once, and 100 were minted before
        address[] memory to = new address[](2);
        uint256[] memory amounts = new uint256[](2);
        (to[0], to[1], amounts[0], amounts[1]) = (alice, bob, 60, 30);
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _eq(token.mintRemaining(), 10, "both entries count");
        vm.expectRevert(RateLimiter.RateLimitExceeded.selector);
        vm.prank(agent);
        token.mintBatch(to, amounts);
    }

    function test_RevertWhen_MintingToTheWrongAddressOrNothing() public {
        _expectCode(30);
        _mint(carol, 1);
        _expectCode(21);
        _mint(thief, 1);
        _expectCode(3);
        _mint(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidAmount.selector, 0));
        _mint(alice, 0);
        vm.expectRevert();
        _mint(alice, type(uint256).max);
        vm.warp(START + 365 days);
        _issueTo(address(0xDA4));
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_Matured.selector, uint48(START + 365 days)));
        _mint(alice, 1);
    }

    function test_MintBatch_IsAllOrNothingAndNamesTheEntry() public {
        address[] memory to = new address[](3);
        uint256[] memory amounts = new uint256[](3);
        (to[0], to[1], to[2]) = (alice, bob, carol);
        (amounts[0], amounts[1], amounts[2]) = (1, 2, 3);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_EntryRestricted.selector, 2, carol, 30));
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _balances(100, 0, 1);
        _admit(carol);
        vm.prank(agent);
        token.mintBatch(to, amounts);
        _balances(101, 2, 3);
        _eq(token.totalSupply(), 106, "supply");
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidBatch.selector, 3, 2));
        vm.prank(agent);
        token.mintBatch(to, new uint256[](2));
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidBatch.selector, 0, 0));
        vm.prank(agent);
        token.mintBatch(new address[](0), new uint256[](0));
    }

    // ------------------------------------------------------------------------------------------------------------- freeze

    function test_Freeze_TheAgentOnlyRaises() public {
        vm.prank(agent);
        token.freeze(alice, 30);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_FreezeNotRaised.selector, alice, 30, 30));
        vm.prank(agent);
        token.freeze(alice, 30);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, agent));
        vm.prank(agent);
        token.setFrozenTokens(alice, 0);
        _control(abi.encodeCall(token.setFrozenTokens, (alice, 0)));
        _eq(token.getFrozenTokens(alice), 0, "the controller lifts");
    }

    function test_Freeze_OfOneUnitHoldsOneUnit() public {
        vm.prank(agent);
        token.freeze(alice, 1);
        _refused(bob, 100, 32);
        _allowed(bob, 99);
        // Whatever the number of the SBT, whose bits stand beside the frozen amount's.
        vm.prank(agent);
        token.freeze(bob, 1);
        _eq(token.detectTransferRestriction(bob, alice, 99), 32, "an even number");
        _eq(token.detectTransferRestriction(bob, alice, 98), 0, "the rest is free");
    }

    function test_Freeze_EverythingForGood() public {
        vm.prank(agent);
        token.freeze(alice, type(uint256).max);
        _eq(token.getFrozenTokens(alice), type(uint256).max, "everything");
        _mint(alice, 5);
        _eq(token.unfrozenBalanceOf(alice), 0, "later units too");
        _refused(bob, 1, 32);
    }

    // ------------------------------------------------------------------------------------------------- ERC-7943, ERC-1404

    function test_Erc7943_CanTransferLeavesTheBalanceAside() public {
        _true(token.canTransfer(alice, bob, 100_000), "above the balance is ERC-20's business");
        _eq(token.detectTransferRestriction(alice, bob, 100_000), 31, "ERC-1404 tells it");
        vm.prank(agent);
        token.freeze(alice, 1);
        _true(!token.canTransfer(alice, bob, 100) && token.canTransfer(alice, bob, 99), "frozen part");
        vm.prank(tokenGuardian);
        token.pause();
        _true(!token.canTransfer(alice, bob, 1), "paused");
        _true(token.canSend(alice) && token.canReceive(bob), "account level leaves the pause aside");
        _true(!token.canSend(thief) && !token.canReceive(thief) && !token.canReceive(address(0)), "nobody");
    }

    function test_SupportsInterfaces() public view {
        _true(type(IERC7943Fungible).interfaceId == 0x3edbb4c4 && token.supportsInterface(0x3edbb4c4), "ERC-7943");
        _true(token.supportsInterface(0x36372b07) && token.supportsInterface(0x01ffc9a7), "ERC-20, ERC-165");
        _true(token.supportsInterface(type(IERC20Metadata).interfaceId), "ERC-20 with name and decimals");
        _true(token.supportsInterface(type(IERC20Permit).interfaceId), "ERC-2612");
        _true(token.supportsInterface(type(IERC1404).interfaceId), "ERC-1404");
        _true(!token.supportsInterface(0xffffffff), "none");
    }

    function test_EveryCodeHasItsSentence() public view {
        uint8[24] memory codes =
            [0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 30, 31, 32, 33, 40, 41, 42, 43];
        bytes32 unknown = keccak256(bytes(token.messageForTransferRestriction(200)));
        for (uint256 i = 0; i < codes.length; ++i) {
            _true(keccak256(bytes(token.messageForTransferRestriction(codes[i]))) != unknown, "sentence");
        }
        _true(keccak256(bytes(token.messageForTransferRestriction(44))) != unknown, "sentence");
        _true(keccak256(bytes(token.messageForTransferRestriction(45))) != unknown, "sentence");
    }

    // ----------------------------------------------------------------------------------------------------- the controller

    function test_ForcedTransfer_TakesFrozenUnitsInTheStandardsOrder() public {
        vm.prank(agent);
        token.freeze(alice, 80);
        bytes memory data = _forced(alice, bob, 50);
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.expectEmit(address(token));
        emit IERC7943Fungible.Frozen(alice, 50);
        vm.expectEmit(address(token));
        emit IERC20.Transfer(alice, bob, 50);
        vm.expectEmit(address(token));
        emit IERC7943Fungible.ForcedTransfer(alice, bob, 50);
        vm.expectEmit(address(token));
        emit ISecurityToken.ForcedTransferReason(alice, bob, 50, REASON);
        _call(controller, address(token), data);
        _balances(50, 50, 2);
        _eq(token.getFrozenTokens(alice), 50, "what is left stays frozen");
    }

    /// @dev ERC-20 and ERC-7943: a caller that looks at the answer must not take success for failure.
    function test_WhatSucceedsAnswersTrue() public {
        bytes[3] memory calls = [
            abi.encodeWithSignature("forcedTransfer(address,address,uint256)", alice, bob, 1),
            _forced(alice, bob, 1),
            abi.encodeCall(token.setFrozenTokens, (alice, 1))
        ];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(controller);
            manager.schedule(address(token), calls[i], 0);
            _skip(CONTROLLER_DELAY);
            vm.prank(controller);
            (bool ok, bytes memory result) = address(token).call(calls[i]);
            _true(ok && abi.decode(result, (bool)), "the controller's call");
        }
        vm.prank(alice);
        _true(token.transfer(bob, 1), "transfer");
        vm.prank(alice);
        _true(token.approve(carol, 1), "approve");
        vm.prank(carol);
        _true(token.transferFrom(alice, bob, 1), "transferFrom");
    }

    function test_ForcedTransfer_WithinTheUnfrozenPartLeavesTheFreezeAlone() public {
        vm.prank(agent);
        token.freeze(alice, 80);
        bytes memory data = _forced(alice, bob, 20);
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.recordLogs();
        _call(controller, address(token), data);
        _eq(vm.getRecordedLogs().length, 4, "schedule used, transfer, forced transfer, reason");
        _eq(token.getFrozenTokens(alice), 80, "as frozen as before");
        vm.prank(agent);
        token.freeze(alice, 150);
        _control(_forced(alice, bob, 0));
        _eq(token.getFrozenTokens(alice), 150, "nothing moved, so nothing is thawed");
    }

    function test_RevertWhen_ForcedTransferGoesToSomebodyNotAdmitted() public {
        _controlFails(
            _forced(alice, carol, 1), abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, 30)
        );
        _controlFails(
            _forced(alice, thief, 1), abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, 21)
        );
        _controlFails(
            _forced(alice, alice, 1), abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, 3)
        );
        _controlFails(
            _forced(alice, address(0), 1), abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, 3)
        );
        _controlFails(
            _forced(alice, bob, 101),
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 100, 101)
        );
    }

    function test_RevertWhen_ControllerDoesNotWait() public {
        bytes memory data = _forced(alice, bob, 1);
        bytes32 id = manager.hashOperation(controller, address(token), data);
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerNotScheduled.selector, id));
        this.callToken(controller, data);
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerNotReady.selector, id));
        this.callToken(controller, data);
        _skip(1);
        _call(controller, address(token), data);
    }

    function test_RevertWhen_CouncilCancelledTheSchedule() public {
        bytes memory data = _forced(alice, bob, 1);
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        vm.prank(council);
        manager.cancel(controller, address(token), data);
        _skip(CONTROLLER_DELAY);
        vm.expectRevert();
        this.callToken(controller, data);
        _balances(100, 0, 1);
    }

    /// @dev `grantRole(…, 0)` makes a controller the manager lets through at once; the token does not.
    function test_RevertWhen_ControllerWasGrantedWithoutADelay() public {
        manager.grantRole(5, thief, 0);
        bytes memory why =
            abi.encodeWithSelector(ISecurityToken.SecurityToken_ControllerDelayTooShort.selector, 0, CONTROLLER_DELAY);
        bytes memory data = _forced(alice, bob, 1);
        vm.expectRevert(why);
        this.callToken(thief, data);
        vm.expectRevert(why);
        vm.prank(thief);
        manager.execute(address(token), data);
        manager.grantRole(5, carol, CONTROLLER_DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerDelayTooShort.selector, CONTROLLER_DELAY - 1, CONTROLLER_DELAY
            )
        );
        this.callToken(carol, data);
    }

    /// @dev A schedule made under a short delay that is raised afterwards, and one that survived a revoke and a new grant.
    function test_RevertWhen_ScheduleIsOlderThanTheGrantAllows() public {
        bytes memory data = _forced(alice, bob, 1);
        manager.grantRole(5, carol, 1);
        vm.prank(carol);
        manager.schedule(address(token), data, 0);
        manager.grantRole(5, carol, CONTROLLER_DELAY);
        _skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerTooNew.selector, uint48(_now() - 1), uint48(_now())
            )
        );
        this.callToken(carol, data);

        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        manager.revokeRole(5, controller);
        _skip(CONTROLLER_DELAY);
        manager.grantRole(5, controller, CONTROLLER_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerTooNew.selector, uint48(_now()), uint48(_now())
            )
        );
        this.callToken(controller, data);
        _skip(2 days);
        vm.expectRevert();
        this.callToken(controller, data);
        _balances(100, 0, 1);
    }

    /// @dev The shortest delay there is, of a second, asks for the age of the schedule all the same.
    function test_RevertWhen_ScheduleIsOlderThanTheGrantByASecond() public {
        token = this.deploy(_terms(), ISecurityToken.Safeguards(1, 1, 200, 20_000));
        _wireToken(token);
        _admit(alice);
        _admit(bob);
        _mint(alice, 100);
        manager.grantRole(5, carol, 1);
        bytes memory data = _forced(alice, bob, 1);
        vm.prank(carol);
        manager.schedule(address(token), data, 0);
        manager.revokeRole(5, carol);
        _skip(1);
        manager.grantRole(5, carol, 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerTooNew.selector, uint48(_now()), uint48(_now())
            )
        );
        this.callToken(carol, data);
    }

    /// @dev Whose grant has not begun is no controller yet, whatever it scheduled under a former one.
    function test_RevertWhen_TheControllersNewGrantHasNotBegun() public {
        manager.setGrantDelay(5, 1 days);
        _skip(5 days);
        manager.grantRole(5, carol, CONTROLLER_DELAY);
        _skip(1 days);
        bytes memory data = _forced(alice, bob, 1);
        vm.prank(carol);
        manager.schedule(address(token), data, 0);
        manager.revokeRole(5, carol);
        manager.grantRole(5, carol, CONTROLLER_DELAY);
        _skip(1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, carol));
        this.callToken(carol, data);
    }

    /// @dev To the second: a schedule made in the very second of the grant may run.
    function test_ASecondControllerActsOneDelayAfterItsGrant() public {
        manager.grantRole(5, carol, CONTROLLER_DELAY);
        bytes memory data = _forced(alice, bob, 1);
        vm.prank(carol);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        _call(carol, address(token), data);
        _balances(99, 1, 2);
    }

    function test_Controller_BurnsAWrongMintWhichMayBeMintedAgain() public {
        _mint(bob, 9_900);
        _control(abi.encodeCall(token.burn, (bob, 9_900, REASON)));
        _balances(100, 0, 1);
        _mint(alice, 9_900);
        _eq(token.totalSupply(), 10_000, "minted again");
    }

    function test_Controller_RedeemsEarlyAndReverses() public {
        _control(abi.encodeCall(token.redeemEarly, (alice, 60)));
        _balances(40, 0, 1);
        _eq(token.authorisedAmount(), 9_940, "the units took their authorisation with them");
        _eq(token.redeemedFrom(alice), 60, "redeemed");
        _controlFails(
            abi.encodeCall(token.reverseRedemption, (alice, 61, REASON)),
            abi.encodeWithSelector(ISecurityToken.SecurityToken_AboveRedeemed.selector, alice, 60, 61)
        );
        _control(abi.encodeCall(token.reverseRedemption, (alice, 60, REASON)));
        _balances(100, 0, 1);
        _eq(token.authorisedAmount(), 10_000, "as before");
    }

    function test_Documents_KeepEveryVersion() public {
        _eq(token.documentCount(), 1, "one");
        _control(abi.encodeCall(token.setDocument, ("Terms of the bonds", "https://issuer.example/v2.pdf", "two")));
        _eq(token.documentCount(), 2, "two");
        _true(token.getDocument("Terms of the bonds").hash == "two", "latest");
        _true(token.documentAt(0).hash == "hash", "first");
        vm.expectRevert(ISecurityToken.SecurityToken_NoDocument.selector);
        token.getDocument("Another");
        vm.expectRevert(ISecurityToken.SecurityToken_NoDocument.selector);
        token.documentAt(2);
    }

    // ---------------------------------------------------------------------------------------------------------- redemption

    function test_Redeem_FromMaturityWhateverTheHolderStanding() public {
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_NotMatured.selector, uint48(START + 365 days))
        );
        vm.prank(agent);
        token.redeem(alice, 1);
        vm.prank(agent);
        token.freeze(alice, 100);
        vm.prank(sbtGuardian);
        sbt.distrust(issuer, 0);
        vm.prank(tokenGuardian);
        token.pause();
        vm.warp(START + 400 days); // expired, distrusted, frozen, paused
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 100, 101));
        vm.prank(agent);
        token.redeem(alice, 101);
        vm.prank(agent);
        token.redeem(alice, 100);
        _balances(0, 0, 0);
        _eq(token.totalSupply(), 0, "supply");
        _eq(token.authorisedAmount(), 9_900, "not to be minted again");
    }

    // -------------------------------------------------------------------------------------------------------------- pause

    function test_Pause_StopsWhatMoves() public {
        vm.prank(tokenGuardian);
        token.pause();
        _refused(bob, 1, 1);
        _expectCode(1);
        _mint(alice, 1);
        vm.expectRevert(ISecurityToken.SecurityToken_AlreadyPaused.selector);
        vm.prank(tokenGuardian);
        token.pause();
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, tokenGuardian));
        vm.prank(tokenGuardian);
        token.unpause();
        _control(_forced(alice, bob, 1)); // stolen units go back while the rest stands still
        vm.prank(council);
        token.unpause();
        vm.expectRevert(ISecurityToken.SecurityToken_NotPaused.selector);
        vm.prank(council);
        token.unpause();
    }

    // ----------------------------------------------------------------------------------------------------------- recovery

    function test_Recovery_MovesEverythingAfterTheWait() public {
        address wallet = _secondWallet(alice);
        vm.prank(agent);
        token.freeze(alice, 30);
        _announce(alice, wallet);
        _refused(bob, 1, 33);
        _true(!token.canSend(alice), "locked");
        _skip(RECOVERY_DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ISecurityToken.SecurityToken_RecoveryTooEarly.selector, uint48(_now() + 1))
        );
        _recover(alice, wallet);
        _skip(1);
        _recover(alice, wallet);
        _balances(0, 0, 1);
        _eq(token.balanceOf(wallet), 100, "everything");
        _eq(token.getFrozenTokens(wallet), 30, "with the frozen amount");
        _eq(token.getFrozenTokens(alice), 0, "nothing left behind");
        _true(!token.isAdmitted(alice), "the lost wallet is dismissed");
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, alice, wallet));
        _recover(alice, wallet);
    }

    function test_RevertWhen_RecoveringToSomebodyElse() public {
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NotSameSubject.selector, alice, bob));
        _announce(alice, bob);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NotSameSubject.selector, alice, agent));
        _announce(alice, agent);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NotSameSubject.selector, alice, alice));
        _announce(alice, alice);
        // Two addresses that never had an SBT share the empty subject; that is not a person.
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NotSameSubject.selector, thief, agent));
        _announce(thief, agent);
    }

    function test_Recovery_TheOldWalletObjects() public {
        address wallet = _secondWallet(alice);
        _announce(alice, wallet);
        vm.prank(alice);
        token.objectToRecovery();
        _skip(RECOVERY_DELAY);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_RecoveryObjected.selector, alice));
        _recover(alice, wallet);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_RecoveryPending.selector, alice));
        _announce(alice, wallet); // an objection cannot be announced away
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, bob, address(0)));
        vm.prank(bob);
        token.objectToRecovery();
        _refused(bob, 1, 33);
        vm.prank(council);
        token.cancelRecovery(alice);
        vm.prank(alice);
        token.transfer(bob, 1);
    }

    function test_Recovery_AfterAnObjectionTheControllerMayStillMove() public {
        address wallet = _secondWallet(alice);
        _announce(alice, wallet);
        vm.prank(alice);
        token.objectToRecovery();
        _control(_forced(alice, wallet, 100));
        _eq(token.balanceOf(wallet), 100, "moved");
    }

    function test_RevertWhen_ReplacementIsNoLongerWhatWasAnnounced() public {
        address wallet = _secondWallet(alice);
        _announce(alice, wallet);
        vm.prank(sbtGuardian);
        sbt.suspend(wallet);
        _skip(RECOVERY_DELAY);
        _expectCode(24);
        _recover(alice, wallet);
        vm.prank(issuer);
        sbt.revoke(wallet);
        _issueTo(wallet, _subject(alice), PERSON);
        _skip(ACTIVATION);
        _admit(wallet);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_ReplacementChanged.selector, wallet));
        _recover(alice, wallet);
    }

    function test_Recovery_OfARevokedWallet() public {
        address wallet = _secondWallet(alice);
        vm.prank(sbtGuardian);
        sbt.suspend(alice);
        vm.prank(issuer);
        sbt.revoke(alice);
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        _recover(alice, wallet);
        _eq(token.balanceOf(wallet), 100, "the subject stays bound to the lost address");
    }

    function test_Recovery_WaitsWhilePausedAndForAdmission() public {
        address wallet = _secondWallet(alice);
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        vm.prank(tokenGuardian);
        token.pause();
        _expectCode(1);
        _recover(alice, wallet);
        vm.prank(council);
        token.unpause();
        address[] memory both = new address[](2);
        (both[0], both[1]) = (alice, wallet);
        vm.prank(agent);
        token.dismiss(both);
        _expectCode(30);
        _recover(alice, wallet);
        _admit(wallet);
        vm.recordLogs();
        _recover(alice, wallet);
        _eq(vm.getRecordedLogs().length, 2, "transfer and completion: who was dismissed is not dismissed again");
        _eq(token.balanceOf(wallet), 100, "admitted on its own");
    }

    function test_Recovery_AdmissionGoesOver() public {
        address wallet = _secondWallet(alice);
        vm.prank(agent);
        token.dismiss(_one(wallet));
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        uint256 id = sbt.sbtOf(wallet).tokenId;
        vm.expectEmit(address(token));
        emit ISecurityToken.Admitted(wallet, id);
        _recover(alice, wallet);
        _true(token.isAdmitted(wallet) && !token.isAdmitted(alice), "admission went over");
    }

    function test_Recovery_AddsFrozenAmountsWithoutWrapping() public {
        address wallet = _secondWallet(alice);
        vm.prank(agent);
        token.freeze(wallet, type(uint256).max);
        vm.prank(agent);
        token.freeze(alice, 10);
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        _recover(alice, wallet);
        _eq(token.getFrozenTokens(wallet), type(uint256).max, "still everything");
    }

    function test_RevertWhen_RecoveringWhatNobodyAnnounced() public {
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, alice, address(0)));
        _recover(alice, address(0));
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, alice, bob));
        _recover(alice, bob);
        _announce(alice, _secondWallet(alice));
        _skip(RECOVERY_DELAY);
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_NoRecovery.selector, alice, bob));
        _recover(alice, bob); // announced, but to another
    }

    function test_Recovery_TellsNothingOfAFreezeThatIsNotThere() public {
        address wallet = _secondWallet(alice);
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        vm.recordLogs();
        _recover(alice, wallet);
        _eq(vm.getRecordedLogs().length, 3, "dismissal, transfer, completion");
    }

    function test_Recovery_CarriesAFreezeOfOneUnit() public {
        address wallet = _secondWallet(alice);
        vm.prank(agent);
        token.freeze(alice, 1);
        _announce(alice, wallet);
        _skip(RECOVERY_DELAY);
        _recover(alice, wallet);
        _eq(token.getFrozenTokens(wallet), 1, "goes over");
        _eq(token.getFrozenTokens(alice), 0, "and is not left behind");
    }

    // -------------------------------------------------------------------------------------------------------------- terms

    function test_Terms_AreReadBack() public {
        ISecurityToken.Terms memory given = _terms();
        (given.decimals, given.qiiOnly, given.holderCap, given.minimumLotUnits) = (6, true, 49, 7);
        (given.wholeBalanceOnly, given.lockUpUntil) = (true, given.issueAt + 90 days);
        SecurityToken other = _deployToken(given);
        _true(keccak256(abi.encode(other.terms())) == keccak256(abi.encode(given)), "every term");
        _true(keccak256(abi.encode(token.terms())) == keccak256(abi.encode(_terms())), "the plain ones");
        _eq(other.decimals(), 6, "decimals");
        ISecurityToken.Safeguards memory guards = token.safeguards();
        _eq(guards.controllerDelay, CONTROLLER_DELAY, "controller delay");
        _eq(guards.recoveryDelay, RECOVERY_DELAY, "recovery delay");
        _eq(guards.admissionLimitPerDay, 200, "admissions");
        _eq(guards.mintLimitPerDay, 20_000, "mint");
    }

    function test_RevertWhen_TermsMakeNoSense() public {
        for (uint256 i = 0; i < 7; ++i) {
            ISecurityToken.Terms memory terms = _terms();
            if (i == 0) terms.name = "";
            if (i == 1) terms.symbol = "";
            if (i == 2) terms.decimals = 19;
            if (i == 3) terms.authorisedUnits = type(uint96).max;
            if (i == 4) terms.minimumLotUnits = 0;
            if (i == 5) terms.maturityAt = terms.issueAt;
            if (i == 6) terms.lockUpUntil = terms.maturityAt + 1;
            vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
            this.deploy(terms, ISecurityToken.Safeguards(CONTROLLER_DELAY, RECOVERY_DELAY, 2, 2));
        }
        vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
        this.deploy(_terms(), ISecurityToken.Safeguards(0, RECOVERY_DELAY, 2, 2));
        vm.expectRevert(ISecurityToken.SecurityToken_InvalidTerms.selector);
        this.deployBeside(thief); // no contract
        ISecurityToken.Terms memory single = _terms();
        single.authorisedUnits = 1;
        _eq(this.deploy(single, ISecurityToken.Safeguards(1, 1, 2, 2)).authorisedAmount(), 1, "one unit makes sense");
    }

    // ------------------------------------------------------------------------------------------------------------- helpers

    function deployBeside(address sbt_) external {
        new SecurityToken(address(manager), sbt_, _terms(), ISecurityToken.Safeguards(1, 1, 2, 2));
    }

    function callToken(address sender, bytes memory data) external {
        _call(sender, address(token), data);
    }

    function _use(ISecurityToken.Terms memory terms) private {
        token = _deployToken(terms);
        _admit(alice);
        _admit(bob);
        _mint(alice, 100);
    }

    /// @dev The view says the code, and the transfer reverts with it.
    function _refused(address to, uint256 amount, uint8 code) private {
        _eq(token.detectTransferRestriction(alice, to, amount), code, "code");
        _expectCode(code);
        vm.prank(alice);
        token.transfer(to, amount);
    }

    function _allowed(address to, uint256 amount) private {
        _eq(token.detectTransferRestriction(alice, to, amount), 0, "code");
        vm.prank(alice);
        token.transfer(to, amount);
    }

    function _balances(uint256 a, uint256 b, uint256 holders) private view {
        _eq(token.balanceOf(alice), a, "alice");
        _eq(token.balanceOf(bob), b, "bob");
        _eq(token.holderCount(), holders, "holders");
    }

    function _window(uint48 from, uint48 until) private {
        vm.prank(agent);
        token.setTransferFreeze(from, until);
    }

    function _badWindow(uint48 from, uint48 until) private {
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_InvalidFreezeWindow.selector, from, until));
        _window(from, until);
    }

    function _forced(address from, address to, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSignature("forcedTransfer(address,address,uint256,bytes32)", from, to, amount, REASON);
    }

    function _controlFails(bytes memory data, bytes memory why) private {
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.expectRevert(why);
        this.callToken(controller, data);
    }

    function _secondWallet(address person) private returns (address wallet) {
        wallet = address(uint160(uint256(keccak256(abi.encode(person)))));
        _issueTo(wallet, _subject(person), PERSON);
        _skip(ACTIVATION);
        _admit(wallet);
    }

    function _announce(address lost, address replacement) private {
        vm.prank(agent);
        token.announceRecovery(lost, replacement);
    }

    function _recover(address lost, address replacement) private {
        vm.prank(agent);
        token.recover(lost, replacement);
    }
}
