// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Roles} from "../src/Roles.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {Base} from "./Base.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

/// @dev Who may call what: every restricted function against every role. `script/check-properties.mjs` sees to it that no
/// function of the ABI is missing from `_functions`.
contract AccessTest is Base {
    struct Restricted {
        address target;
        bytes data;
        uint64 role;
    }

    Restricted[] private _functions;
    address[] private _members;

    function setUp() public override {
        super.setUp();
        _deployVault();
        _holder(alice, 100);
        _members = [address(this), issuer, attestor, sbtGuardian, agent, controller, tokenGuardian, council, alice];
        _members.push(collateralAgent);
        _members.push(saleRecorder);
        _members.push(thief);
        IInvestorSBT.Attestation memory a = _attestation(bob);
        _sbt(abi.encodeCall(sbt.issue, (a, attestor, "")), Roles.SBT_ISSUER);
        _sbt(abi.encodeCall(sbt.renew, (a, attestor, "")), Roles.SBT_ISSUER);
        _sbt(abi.encodeCall(sbt.revoke, (alice)), Roles.SBT_ISSUER);
        _sbt(abi.encodeCall(sbt.suspend, (alice)), Roles.SBT_GUARDIAN);
        _sbt(abi.encodeCall(sbt.distrust, (issuer, 0)), Roles.SBT_GUARDIAN);
        _sbt(abi.encodeCall(sbt.pauseIssuance, ()), Roles.SBT_GUARDIAN);
        _sbt(abi.encodeCall(sbt.reinstate, (alice)), Roles.COUNCIL);
        _sbt(abi.encodeCall(sbt.restoreTrust, (issuer)), Roles.COUNCIL);
        _sbt(abi.encodeCall(sbt.resumeIssuance, ()), Roles.COUNCIL);
        _sbt(abi.encodeCall(sbt.setActivationDelay, (1)), Roles.ADMIN);
        _sbt(abi.encodeCall(sbt.setIssuanceLimit, (10)), Roles.ADMIN);
        _sbt(abi.encodeCall(sbt.allowAttestorCode, ("code", true)), Roles.ADMIN);
        _token(abi.encodeCall(token.admit, (_one(alice))), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.dismiss, (_one(alice))), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.mint, (alice, 1)), Roles.TOKEN_AGENT);
        uint256[] memory amounts = new uint256[](1);
        _token(abi.encodeCall(token.mintBatch, (_one(alice), amounts)), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.freeze, (alice, 1)), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.redeem, (alice, 1)), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.announceRecovery, (alice, bob)), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.recover, (alice, bob)), Roles.TOKEN_AGENT);
        _token(abi.encodeCall(token.setTransferFreeze, (0, 0)), Roles.TOKEN_AGENT);
        _token(
            abi.encodeWithSignature("forcedTransfer(address,address,uint256)", alice, bob, 1), Roles.TOKEN_CONTROLLER
        );
        _token(
            abi.encodeWithSignature("forcedTransfer(address,address,uint256,bytes32)", alice, bob, 1, bytes32("x")),
            Roles.TOKEN_CONTROLLER
        );
        _token(abi.encodeCall(token.setFrozenTokens, (alice, 0)), Roles.TOKEN_CONTROLLER);
        _token(abi.encodeCall(token.redeemEarly, (alice, 1)), Roles.TOKEN_CONTROLLER);
        _token(abi.encodeCall(token.burn, (alice, 1, "x")), Roles.TOKEN_CONTROLLER);
        _token(abi.encodeCall(token.reverseRedemption, (alice, 1, "x")), Roles.TOKEN_CONTROLLER);
        _token(abi.encodeCall(token.setDocument, ("n", "u", "h")), Roles.TOKEN_CONTROLLER);
        _token(abi.encodeCall(token.pause, ()), Roles.TOKEN_GUARDIAN);
        _token(abi.encodeCall(token.unpause, ()), Roles.COUNCIL);
        _token(abi.encodeCall(token.cancelRecovery, (alice)), Roles.COUNCIL);
        _token(abi.encodeCall(token.raiseAuthorisedAmount, (20_000)), Roles.ADMIN);
        _token(abi.encodeCall(token.setLimits, (10, 10)), Roles.ADMIN);
        _addVault();
    }

    function _addVault() private {
        bytes32 account = vault.open("loan", alice);
        _vault(abi.encodeCall(vault.proposeRelease, (account, "r", 1)), Roles.COLLATERAL_AGENT);
        _vault(abi.encodeCall(vault.withdrawRelease, (account, "r")), Roles.COLLATERAL_AGENT);
        _vault(abi.encodeCall(vault.executeRelease, (account, "r")), Roles.COLLATERAL_AGENT);
        _vault(abi.encodeCall(vault.executeSale, (account, "s", 1)), Roles.COLLATERAL_AGENT);
        _vault(abi.encodeCall(vault.recordSale, (account, "s", 1, uint48(_now() + 1))), Roles.SALE_RECORDER);
        _vault(abi.encodeCall(vault.withdrawSale, (account, "s")), Roles.SALE_RECORDER);
        _vault(abi.encodeCall(vault.announceBorrowerChange, (account, bob)), Roles.TOKEN_CONTROLLER);
        _vault(abi.encodeCall(vault.pause, ()), Roles.TOKEN_GUARDIAN);
        _vault(abi.encodeCall(vault.cancelRelease, (account, "r")), Roles.TOKEN_GUARDIAN);
        _vault(abi.encodeCall(vault.cancelSale, (account, "s")), Roles.TOKEN_GUARDIAN);
        _vault(abi.encodeCall(vault.unpause, ()), Roles.COUNCIL);
        _vault(abi.encodeCall(vault.cancelBorrowerChange, (account)), Roles.COUNCIL);
        _vault(abi.encodeCall(vault.cancelSaleAddress, ()), Roles.COUNCIL);
        _vault(abi.encodeCall(vault.announceSaleAddress, (bob)), Roles.ADMIN);
        _vault(abi.encodeCall(vault.setLimits, (10, 10)), Roles.ADMIN);
    }

    function test_EveryRestrictedFunctionRefusesEveryOtherRole() public {
        for (uint256 i = 0; i < _functions.length; ++i) {
            for (uint256 m = 0; m < _members.length; ++m) {
                // Member number m holds role number m; number 8 and the last hold none.
                if (m == _functions[i].role) continue;
                vm.prank(_members[m]);
                (bool ok, bytes memory result) = _functions[i].target.call(_functions[i].data);
                _true(!ok, "somebody else may call it");
                bytes memory expected =
                    abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, _members[m]);
                _true(keccak256(result) == keccak256(expected), "it is refused for want of the role");
            }
        }
    }

    function test_EveryRestrictedFunctionBelongsToItsRole() public view {
        for (uint256 i = 0; i < _functions.length; ++i) {
            Restricted memory f = _functions[i];
            _eq(manager.getTargetFunctionRole(f.target, bytes4(f.data)), f.role, "role");
        }
    }

    function test_TheRolesOwnMemberIsNotRefusedForWantOfTheRole() public {
        for (uint256 i = 0; i < _functions.length; ++i) {
            Restricted memory f = _functions[i];
            vm.prank(_members[f.role]);
            (bool ok, bytes memory result) = f.target.call(f.data);
            // What fails, fails for the contract's own reason.
            _true(ok || bytes4(result) != IAccessManaged.AccessManagedUnauthorized.selector, "the member may not");
        }
    }

    function test_AnAdminWithoutOtherRolesMovesNothing() public {
        for (uint256 i = 0; i < _functions.length; ++i) {
            if (_functions[i].role != Roles.ADMIN) continue;
            (bool ok,) = _functions[i].target.call(_functions[i].data);
            ok; // settings only: what they may do is tested elsewhere
        }
        _eq(token.balanceOf(alice), 100, "balance");
        _eq(token.totalSupply(), 100, "supply");
    }

    function test_AManagerCallMadeThroughExecuteIsNotTheControllers() public {
        bytes memory data = abi.encodeCall(token.setFrozenTokens, (alice, 1));
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISecurityToken.SecurityToken_ControllerDelayTooShort.selector, uint32(0), CONTROLLER_DELAY
            )
        );
        vm.prank(controller);
        manager.execute(address(token), data);
    }

    function _sbt(bytes memory data, uint64 role) private {
        _functions.push(Restricted(address(sbt), data, role));
    }

    function _vault(bytes memory data, uint64 role) private {
        _functions.push(Restricted(address(vault), data, role));
    }

    function _token(bytes memory data, uint64 role) private {
        _functions.push(Restricted(address(token), data, role));
    }
}
