// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Roles} from "../src/Roles.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {Base} from "./Base.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

/// @dev What OpenZeppelin's AccessManager does and does not do, on which the deployment rests, and what we put against it.
contract GovernanceTest is Base {
    uint64 private constant MANAGEMENT = 8;
    uint32 private constant ADMIN_DELAY = 2 days;
    address private immutable _timelock = address(0x71E10C);
    address private immutable _second = address(0x5EC0);

    function setUp() public override {
        super.setUp();
        bytes4[] memory f = new bytes4[](6);
        (f[0], f[1]) = (manager.grantRole.selector, manager.setTargetFunctionRole.selector);
        (f[2], f[3]) = (manager.setRoleGuardian.selector, manager.setRoleAdmin.selector);
        (f[4], f[5]) = (manager.setTargetClosed.selector, manager.setGrantDelay.selector);
        manager.setTargetFunctionRole(address(manager), f, MANAGEMENT);
        manager.setRoleGuardian(MANAGEMENT, Roles.COUNCIL);
        manager.grantRole(Roles.ADMIN, _timelock, ADMIN_DELAY);
        _holder(alice, 100);
    }

    function test_TheGuardianOfTheAdminRoleCannotBeSet() public {
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerLockedRole.selector, Roles.ADMIN));
        manager.setRoleGuardian(Roles.ADMIN, Roles.COUNCIL);
    }

    function test_TheCouncilCancelsAnAdminsGrantThroughTheManagementRole() public {
        bytes memory data = abi.encodeCall(manager.grantRole, (Roles.TOKEN_CONTROLLER, thief, 0));
        vm.prank(_timelock);
        manager.schedule(address(manager), data, 0);
        vm.prank(council);
        manager.cancel(_timelock, address(manager), data);
        _skip(ADMIN_DELAY);
        vm.expectRevert();
        vm.prank(_timelock);
        manager.grantRole(Roles.TOKEN_CONTROLLER, thief, 0);
    }

    function test_AMemberOfTheManagementRoleMayCallNothing() public {
        manager.grantRole(MANAGEMENT, thief, 0);
        vm.expectRevert();
        vm.prank(thief);
        manager.grantRole(Roles.TOKEN_CONTROLLER, thief, 0);
    }

    function test_TwoAdminKeysWouldDeadlockEachOther() public {
        manager.grantRole(Roles.ADMIN, _second, ADMIN_DELAY);
        bytes memory data = abi.encodeCall(manager.revokeRole, (Roles.ADMIN, _timelock));
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(_second);
            manager.schedule(address(manager), data, 0);
            vm.prank(_timelock);
            manager.cancel(_second, address(manager), data);
            _skip(3 days);
        }
        (bool still,) = manager.hasRole(Roles.ADMIN, _timelock);
        _true(still, "one admin key keeps itself in office, so ADMIN must be one contract");
    }

    function test_AnAdminsActWaitsItsDelay() public {
        vm.expectRevert();
        vm.prank(_timelock);
        manager.grantRole(Roles.TOKEN_AGENT, thief, 0);
        bytes memory data = abi.encodeCall(token.raiseAuthorisedAmount, (20_000));
        vm.prank(_timelock);
        manager.schedule(address(token), data, 0);
        _skip(ADMIN_DELAY - 1);
        vm.expectRevert();
        vm.prank(_timelock);
        token.raiseAuthorisedAmount(20_000);
        _skip(1);
        vm.prank(_timelock);
        token.raiseAuthorisedAmount(20_000);
        _eq(token.authorisedAmount(), 20_000, "raised after the delay");
    }

    function test_ADeployerThatRenouncedHasNoPower() public {
        manager.renounceRole(Roles.ADMIN, address(this));
        vm.expectRevert();
        manager.grantRole(Roles.TOKEN_AGENT, thief, 0);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, address(this)));
        token.raiseAuthorisedAmount(20_000);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, address(this)));
        sbt.setActivationDelay(0);
    }

    function test_GrantAndTargetDelaysTakeFiveDaysToCount() public {
        manager.setGrantDelay(Roles.TOKEN_CONTROLLER, 2 days);
        manager.setTargetAdminDelay(address(token), 2 days);
        _skip(5 days - 1);
        _eq(manager.getRoleGrantDelay(Roles.TOKEN_CONTROLLER), 0, "not effective yet");
        _eq(manager.getTargetAdminDelay(address(token)), 0, "not effective yet");
        _skip(1);
        _eq(manager.getRoleGrantDelay(Roles.TOKEN_CONTROLLER), 2 days, "effective");
        _eq(manager.getTargetAdminDelay(address(token)), 2 days, "effective");
    }

    function test_ImmediateControllersGetNowhereWhateverTheManagerSays() public {
        manager.grantRole(Roles.TOKEN_CONTROLLER, thief, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerDelayTooShort.selector, uint32(0), CONTROLLER_DELAY
            )
        );
        vm.prank(thief);
        token.burn(alice, 1, "theft");
    }

    function test_AScheduleDoesNotOutliveTheCouncilsCancelAndARevoke() public {
        bytes memory data = abi.encodeCall(token.burn, (alice, 1, "theft"));
        vm.prank(controller);
        manager.schedule(address(token), data, uint48(_now() + 30 days));
        vm.prank(council);
        manager.cancel(controller, address(token), data);
        manager.revokeRole(Roles.TOKEN_CONTROLLER, controller);
        _skip(30 days);
        vm.expectRevert();
        vm.prank(controller);
        token.burn(alice, 1, "theft");
    }

    function test_AScheduleRevivedByANewGrantIsRefused() public {
        bytes memory data = abi.encodeCall(token.burn, (alice, 1, "theft"));
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        manager.revokeRole(Roles.TOKEN_CONTROLLER, controller);
        _skip(3 days);
        manager.grantRole(Roles.TOKEN_CONTROLLER, controller, CONTROLLER_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerTooNew.selector,
                uint48(_now()),
                uint48(_now() - 3 days + CONTROLLER_DELAY)
            )
        );
        vm.prank(controller);
        token.burn(alice, 1, "theft");
    }

    function test_AClosedTargetSilencesTheGuardian() public {
        manager.setTargetClosed(address(token), true);
        vm.expectRevert();
        vm.prank(tokenGuardian);
        token.pause();
        manager.setTargetClosed(address(token), false);
        vm.prank(tokenGuardian);
        token.pause();
        _true(token.paused(), "open again, it works");
    }

    function test_HoldersGoOnWhileATargetIsClosed() public {
        _holder(bob, 0);
        manager.setTargetClosed(address(token), true);
        vm.prank(alice);
        token.transfer(bob, 10);
        _eq(token.balanceOf(bob), 10, "closing the manager's door is no pause of holders");
    }

    function test_TheCouncilGrantsMintsAndMovesNothing() public {
        vm.expectRevert();
        vm.prank(council);
        manager.grantRole(Roles.TOKEN_AGENT, council, 0);
        vm.expectRevert();
        vm.prank(council);
        manager.schedule(address(token), abi.encodeCall(token.burn, (alice, 1, "x")), 0);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, council));
        vm.prank(council);
        token.mint(council, 1);
    }

    function test_AGuardianCannotCancelTheControllersSchedule() public {
        bytes memory data = abi.encodeCall(token.setFrozenTokens, (alice, 0));
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        address[2] memory guardians = [sbtGuardian, tokenGuardian];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert();
            vm.prank(guardians[i]);
            manager.cancel(controller, address(token), data);
        }
        _skip(CONTROLLER_DELAY);
        vm.prank(controller);
        token.setFrozenTokens(alice, 0);
    }

    function test_AnExpiredScheduleRunsNoMore() public {
        bytes memory data = abi.encodeCall(token.burn, (alice, 1, "x"));
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY + manager.expiration());
        vm.expectRevert();
        vm.prank(controller);
        token.burn(alice, 1, "x");
    }

    function test_AScheduledCallRunsOnce() public {
        _control(abi.encodeCall(token.burn, (alice, 1, "x")));
        vm.expectRevert();
        vm.prank(controller);
        token.burn(alice, 1, "x");
        _eq(token.balanceOf(alice), 99, "burned once");
    }

    function test_ARevokedKeyCanDoNothingAtOnce() public {
        manager.revokeRole(Roles.TOKEN_AGENT, agent);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, agent));
        vm.prank(agent);
        token.mint(alice, 1);
    }
}
