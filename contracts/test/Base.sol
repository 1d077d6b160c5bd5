// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CollateralVault} from "../src/CollateralVault.sol";
import {InvestorSBT} from "../src/InvestorSBT.sol";
import {Roles} from "../src/Roles.sol";
import {SecurityToken} from "../src/SecurityToken.sol";
import {ICollateralVault} from "../src/interfaces/ICollateralVault.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

/// @dev The cheatcodes the tests use, as forge understands them.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function deal(address account, uint256 amount) external;
    function etch(address target, bytes calldata code) external;
    function expectEmit() external;
    function expectEmit(address emitter) external;
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function getBlockTimestamp() external view returns (uint256);
    function getRecordedLogs() external returns (Log[] memory);
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function recordLogs() external;
    function revertToState(uint256 snapshot) external returns (bool);
    function snapshotState() external returns (uint256);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 timestamp) external;
}

/// @dev A platform as it is deployed: a manager, the SBT contract, one security, every role with its own key.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    /// @dev Tells forge that this is a test contract.
    bool public constant IS_TEST = true;

    uint256 internal constant ATTESTOR_KEY = 0xA77E5;
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint32 internal constant ACTIVATION = 1 days;
    uint32 internal constant CONTROLLER_DELAY = 1 days;
    uint32 internal constant RECOVERY_DELAY = 7 days;
    uint32 internal constant RELEASE_DELAY = 6 hours;
    uint32 internal constant NOTICE = 1 days;
    uint256 internal constant RELEASE_LIMIT = 200 ether;
    uint256 internal constant SALE_LIMIT = 400 ether;
    uint256 internal constant START = 1_800_000_000;
    uint16 internal constant PERSON = 1;
    uint16 internal constant QII = 1 | 4;

    address internal immutable issuer = address(0x15500E4);
    address internal immutable attestor = vm.addr(ATTESTOR_KEY);
    address internal immutable sbtGuardian = address(0x6A4D);
    address internal immutable agent = address(0xA6E27);
    address internal immutable controller = address(0xC0177);
    address internal immutable tokenGuardian = address(0x70CE);
    address internal immutable council = address(0xC0C11);
    address internal immutable collateralAgent = address(0xC0A6E27);
    address internal immutable saleRecorder = address(0x5A1E);
    address internal immutable saleAddress = address(0x5E77);
    address internal immutable alice = address(0xA11CE);
    address internal immutable bob = address(0xB0B);
    address internal immutable carol = address(0xCA201);
    address internal immutable thief = address(0x7814EF);

    AccessManager internal manager;
    InvestorSBT internal sbt;
    SecurityToken internal token;
    CollateralVault internal vault;
    uint256 private _nonce;

    function setUp() public virtual {
        vm.warp(START);
        manager = new AccessManager(address(this));
        sbt = new InvestorSBT(address(manager), ACTIVATION, 1000);
        token = _deployToken(_terms());
        _wireSbt();
        _grant();
    }

    // -------------------------------------------------------------------------------------------------------- platform

    function _terms() internal virtual returns (ISecurityToken.Terms memory terms) {
        terms.name = "Example Bond 1";
        terms.symbol = "EXB1";
        terms.isin = "JP0000000001";
        terms.currency = "JPY";
        terms.faceValueMinor = 100_000;
        terms.rateBps = 80;
        terms.issueAt = uint48(START);
        terms.maturityAt = uint48(START + 365 days);
        terms.authorisedUnits = 10_000;
        terms.minimumLotUnits = 1;
        terms.documents = new ISecurityToken.Document[](1);
        terms.documents[0] = ISecurityToken.Document("Terms of the bonds", "https://issuer.example/terms.pdf", "hash");
    }

    function _deployToken(ISecurityToken.Terms memory terms) internal returns (SecurityToken deployed) {
        deployed = new SecurityToken(
            address(manager),
            address(sbt),
            terms,
            ISecurityToken.Safeguards(CONTROLLER_DELAY, RECOVERY_DELAY, 200, 2 * terms.authorisedUnits)
        );
        _wireToken(deployed);
    }

    /// @dev For deployments that must fail: a test that expects a bare `new` to revert ends there, unseen, since tests deploy by
    /// artifact. As a call of its own it does not.
    function deploy(ISecurityToken.Terms memory terms, ISecurityToken.Safeguards memory safeguards)
        external
        returns (SecurityToken)
    {
        return new SecurityToken(address(manager), address(sbt), terms, safeguards);
    }

    function deploySbt(address manager_, uint32 activationDelay, uint256 limitPerDay) external returns (InvestorSBT) {
        return new InvestorSBT(manager_, activationDelay, limitPerDay);
    }

    function _wireSbt() internal {
        bytes4[] memory f = new bytes4[](3);
        (f[0], f[1], f[2]) = (sbt.issue.selector, sbt.renew.selector, sbt.revoke.selector);
        manager.setTargetFunctionRole(address(sbt), f, Roles.SBT_ISSUER);
        (f[0], f[1], f[2]) = (sbt.suspend.selector, sbt.distrust.selector, sbt.pauseIssuance.selector);
        manager.setTargetFunctionRole(address(sbt), f, Roles.SBT_GUARDIAN);
        (f[0], f[1], f[2]) = (sbt.reinstate.selector, sbt.restoreTrust.selector, sbt.resumeIssuance.selector);
        manager.setTargetFunctionRole(address(sbt), f, Roles.COUNCIL);
    }

    function _wireToken(SecurityToken target) internal {
        bytes4[] memory f = new bytes4[](9);
        (f[0], f[1], f[2]) = (target.admit.selector, target.dismiss.selector, target.mint.selector);
        (f[3], f[4], f[5]) = (target.mintBatch.selector, target.freeze.selector, target.redeem.selector);
        (f[6], f[7]) = (target.announceRecovery.selector, target.recover.selector);
        f[8] = target.setTransferFreeze.selector;
        manager.setTargetFunctionRole(address(target), f, Roles.TOKEN_AGENT);
        f = new bytes4[](7);
        f[0] = bytes4(keccak256("forcedTransfer(address,address,uint256)"));
        f[1] = bytes4(keccak256("forcedTransfer(address,address,uint256,bytes32)"));
        (f[2], f[3], f[4]) = (target.setFrozenTokens.selector, target.redeemEarly.selector, target.burn.selector);
        (f[5], f[6]) = (target.reverseRedemption.selector, target.setDocument.selector);
        manager.setTargetFunctionRole(address(target), f, Roles.TOKEN_CONTROLLER);
        f = new bytes4[](1);
        f[0] = target.pause.selector;
        manager.setTargetFunctionRole(address(target), f, Roles.TOKEN_GUARDIAN);
        f = new bytes4[](2);
        (f[0], f[1]) = (target.unpause.selector, target.cancelRecovery.selector);
        manager.setTargetFunctionRole(address(target), f, Roles.COUNCIL);
    }

    function _grant() internal {
        manager.grantRole(Roles.SBT_ISSUER, issuer, 0);
        manager.grantRole(Roles.ATTESTOR, attestor, 0);
        manager.grantRole(Roles.SBT_GUARDIAN, sbtGuardian, 0);
        manager.grantRole(Roles.TOKEN_AGENT, agent, 0);
        manager.grantRole(Roles.TOKEN_CONTROLLER, controller, CONTROLLER_DELAY);
        manager.grantRole(Roles.TOKEN_GUARDIAN, tokenGuardian, 0);
        manager.grantRole(Roles.COUNCIL, council, 0);
        manager.setRoleGuardian(Roles.TOKEN_CONTROLLER, Roles.COUNCIL);
    }

    /// @dev Only for the tests that need it.
    function _deployVault() internal {
        vault = new CollateralVault(
            address(manager), saleAddress, ICollateralVault.Safeguards(RELEASE_DELAY, NOTICE, RELEASE_LIMIT, SALE_LIMIT)
        );
        bytes4[] memory f = new bytes4[](4);
        (f[0], f[1]) = (vault.proposeRelease.selector, vault.withdrawRelease.selector);
        (f[2], f[3]) = (vault.executeRelease.selector, vault.executeSale.selector);
        manager.setTargetFunctionRole(address(vault), f, Roles.COLLATERAL_AGENT);
        f = new bytes4[](2);
        (f[0], f[1]) = (vault.recordSale.selector, vault.withdrawSale.selector);
        manager.setTargetFunctionRole(address(vault), f, Roles.SALE_RECORDER);
        f = new bytes4[](1);
        f[0] = vault.announceBorrowerChange.selector;
        manager.setTargetFunctionRole(address(vault), f, Roles.TOKEN_CONTROLLER);
        f = new bytes4[](3);
        (f[0], f[1], f[2]) = (vault.pause.selector, vault.cancelRelease.selector, vault.cancelSale.selector);
        manager.setTargetFunctionRole(address(vault), f, Roles.TOKEN_GUARDIAN);
        (f[0], f[1]) = (vault.unpause.selector, vault.cancelBorrowerChange.selector);
        f[2] = vault.cancelSaleAddress.selector;
        manager.setTargetFunctionRole(address(vault), f, Roles.COUNCIL);
        manager.grantRole(Roles.COLLATERAL_AGENT, collateralAgent, 0);
        manager.grantRole(Roles.SALE_RECORDER, saleRecorder, 0);
    }

    // ---------------------------------------------------------------------------------------------------------- actions

    /// @dev With via-ir the optimiser may read TIMESTAMP once per frame, so the tests ask the node.
    function _now() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function _skip(uint256 time) internal {
        vm.warp(_now() + time);
    }

    function _subject(address holder) internal pure returns (bytes32) {
        return keccak256(abi.encode("subject", holder));
    }

    function _attestation(address holder) internal returns (IInvestorSBT.Attestation memory) {
        return IInvestorSBT.Attestation({
            holder: holder,
            subject: _subject(holder),
            categories: PERSON,
            expiresAt: uint48(_now() + 365 days),
            evidenceHash: keccak256("evidence"),
            nonce: ++_nonce,
            deadline: uint48(_now() + 1 days)
        });
    }

    function _sign(uint256 key, IInvestorSBT.Attestation memory attestation) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, sbt.attestationDigest(attestation));
        return abi.encodePacked(r, s, v);
    }

    function _issue(IInvestorSBT.Attestation memory attestation) internal {
        bytes memory signature = _sign(ATTESTOR_KEY, attestation);
        vm.prank(issuer);
        sbt.issue(attestation, attestor, signature);
    }

    /// @dev Issues an SBT with these flags, of this subject; it is not effective yet.
    function _issueTo(address holder, bytes32 subject, uint16 categories) internal {
        IInvestorSBT.Attestation memory attestation = _attestation(holder);
        (attestation.subject, attestation.categories) = (subject, categories);
        _issue(attestation);
    }

    function _issueTo(address holder) internal {
        _issue(_attestation(holder));
    }

    function _one(address holder) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = holder;
    }

    function _admit(address holder) internal {
        vm.prank(agent);
        token.admit(_one(holder));
    }

    function _mint(address holder, uint256 amount) internal {
        vm.prank(agent);
        token.mint(holder, amount);
    }

    /// @dev Verified for long, admitted, with that balance.
    function _holder(address holder, uint256 amount) internal {
        _issueTo(holder);
        _skip(ACTIVATION);
        _admit(holder);
        if (amount != 0) _mint(holder, amount);
    }

    /// @dev Schedules a controller's call, waits, makes it.
    function _control(bytes memory data) internal {
        vm.prank(controller);
        manager.schedule(address(token), data, 0);
        _skip(CONTROLLER_DELAY);
        _call(controller, address(token), data);
    }

    /// @dev Makes a call and passes its revert on.
    function _call(address sender, address target, bytes memory data) internal {
        vm.prank(sender);
        (bool ok, bytes memory result) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- assertions

    error Unequal(string label, uint256 actual, uint256 expected);
    error Untrue(string label);

    function _eq(uint256 actual, uint256 expected, string memory label) internal pure {
        if (actual != expected) revert Unequal(label, actual, expected);
    }

    function _true(bool condition, string memory label) internal pure {
        if (!condition) revert Untrue(label);
    }

    function _expectCode(uint8 code) internal {
        vm.expectRevert(abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, code));
    }

    function _bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
