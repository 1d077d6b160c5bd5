// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CollateralVault} from "../../src/CollateralVault.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";

interface SymbolicVaultVm {
    function assume(bool condition) external pure;
    function deal(address account, uint256 amount) external;
    function load(address target, bytes32 slot) external view returns (bytes32);
    function store(address target, bytes32 slot, bytes32 value) external;
    function warp(uint256 timestamp) external;
}

/// @dev A manager that lets everybody do everything at once: the worst there can be.
contract ImmediateManager {
    function canCall(address, address, bytes4) external pure returns (bool, uint32) {
        return (true, 0);
    }
}

/// @dev Proved by halmos (`make prove`) for two accounts with any balances, any release, any recorded sale, any time and amount,
/// with every caller allowed everything. Forge leaves `check_` alone. Slots are those of `forge inspect CollateralVault
/// storageLayout`; `test_TheVaultsSlotsAreWhereTheProofsLook` holds them.
contract SymbolicVaultTest {
    SymbolicVaultVm private constant vm = SymbolicVaultVm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_TEST = true;
    uint256 private constant STATE_SLOT = 1;
    uint256 private constant ACCOUNTS_SLOT = 4;
    uint256 private constant RELEASES_SLOT = 6;
    uint256 private constant SALES_SLOT = 7;
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    address private constant SALE = address(0x5E77);
    bytes32 private constant A = "account of alice";
    bytes32 private constant B = "account of bob";
    bytes32 private constant ID = "id";

    CollateralVault private _vault;
    uint256 private _heldA;
    uint256 private _heldB;

    function setUp() public {
        vm.warp(1_800_000_000);
        _vault = new CollateralVault(
            address(new ImmediateManager()),
            SALE,
            ICollateralVault.Safeguards(1 days, 1 days, type(uint96).max, type(uint96).max)
        );
    }

    function _account(bytes32 account) private pure returns (bytes32) {
        return keccak256(abi.encode(account, ACCOUNTS_SLOT));
    }

    function _nested(uint256 slot) private pure returns (bytes32) {
        return keccak256(abi.encode(ID, keccak256(abi.encode(A, slot))));
    }

    /// @dev Two accounts, a release and a sale of the first, the clock: anything.
    function _any(uint96 a, uint96 b, bytes32 release, bytes32 sale, uint40 time) private {
        vm.assume(uint256(a) + b <= 1e27); // more than there is
        (_heldA, _heldB) = (a, b);
        vm.store(address(_vault), _account(A), bytes32(uint256(uint160(ALICE)) | uint256(a) << 160));
        vm.store(address(_vault), _account(B), bytes32(uint256(uint160(BOB)) | uint256(b) << 160));
        vm.store(address(_vault), bytes32(STATE_SLOT), bytes32((uint256(a) + b) << 8));
        vm.store(address(_vault), _nested(RELEASES_SLOT), release);
        vm.store(address(_vault), _nested(SALES_SLOT), sale);
        vm.deal(address(_vault), uint256(a) + b);
        vm.deal(ALICE, 0);
        vm.deal(BOB, 0);
        vm.deal(SALE, 0);
        vm.warp(time);
    }

    /// @dev What left the first account is with its borrower or at the sale address; nothing else moved.
    function _conserved(uint256 toAlice, uint256 toSale) private view {
        assert(ALICE.balance == toAlice && SALE.balance == toSale && BOB.balance == 0);
        assert(_vault.balanceOf(A) == _heldA - toAlice - toSale);
        assert(_vault.balanceOf(B) == _heldB);
        assert(_vault.totalCollateral() == _heldA + _heldB - toAlice - toSale);
        assert(address(_vault).balance == _vault.totalCollateral());
    }

    function check_AReleaseMovesWhatWasProposedToTheBorrowerAndNothingElse(
        uint96 a,
        uint96 b,
        bytes32 release,
        bytes32 sale,
        uint40 time
    ) external {
        _any(a, b, release, sale, time);
        (bool ok,) = address(_vault).call(abi.encodeCall(_vault.executeRelease, (A, ID)));
        uint256 amount = uint96(uint256(release));
        if (ok) assert(amount != 0 && time >= uint48(uint256(release) >> 96));
        _conserved(ok ? amount : 0, 0);
    }

    function check_ASaleMovesNoMoreThanWasRecordedToTheSaleAddressAndNothingElse(
        uint96 a,
        uint96 b,
        bytes32 release,
        bytes32 sale,
        uint40 time,
        uint256 amount
    ) external {
        _any(a, b, release, sale, time);
        (bool ok,) = address(_vault).call(abi.encodeCall(_vault.executeSale, (A, ID, amount)));
        if (ok) assert(amount <= uint96(uint256(sale)) && time < uint48(uint256(sale) >> 96));
        _conserved(0, ok ? amount : 0);
    }

    /// @dev `kind` picks any other function that changes state and needs no clone.
    function check_NothingElseMovesCollateral(
        uint96 a,
        uint96 b,
        bytes32 release,
        bytes32 sale,
        uint40 time,
        uint8 kind,
        uint256 amount,
        address other
    ) external {
        _any(a, b, release, sale, time);
        bytes memory data = abi.encodeCall(_vault.proposeRelease, (A, ID, amount));
        if (kind == 1) data = abi.encodeCall(_vault.withdrawRelease, (A, ID));
        if (kind == 2) data = abi.encodeCall(_vault.cancelRelease, (A, ID));
        if (kind == 3) data = abi.encodeCall(_vault.recordSale, (A, ID, amount, uint48(amount)));
        if (kind == 4) data = abi.encodeCall(_vault.withdrawSale, (A, ID));
        if (kind == 5) data = abi.encodeCall(_vault.cancelSale, (A, ID));
        if (kind == 6) data = abi.encodeCall(_vault.announceBorrowerChange, (A, other));
        if (kind == 7) data = abi.encodeCall(_vault.applyBorrowerChange, (A));
        if (kind == 8) data = abi.encodeCall(_vault.announceSaleAddress, (other));
        if (kind == 9) data = abi.encodeCall(_vault.pause, ());
        if (kind == 10) data = abi.encodeCall(_vault.objectToBorrowerChange, (A));
        (bool ok,) = address(_vault).call(data);
        ok; // done or refused
        _conserved(0, 0);
        assert(_vault.borrowerOf(A) == ALICE && _vault.borrowerOf(B) == BOB && _vault.saleAddress() == SALE);
    }

    function test_TheVaultsSlotsAreWhereTheProofsLook() external {
        _any(7, 5, bytes32(uint256(3) | uint256(11) << 96), bytes32(uint256(2) | uint256(13) << 96), 1_800_000_000);
        require(_vault.balanceOf(A) == 7 && _vault.borrowerOf(A) == ALICE, "account");
        require(_vault.balanceOf(B) == 5 && _vault.borrowerOf(B) == BOB, "other account");
        require(_vault.totalCollateral() == 12 && !_vault.paused(), "state");
        ICollateralVault.Release memory release = _vault.releaseOf(A, ID);
        require(release.amount == 3 && release.executableAt == 11, "release");
        ICollateralVault.Sale memory sale = _vault.saleOf(A, ID);
        require(sale.remaining == 2 && sale.expiresAt == 13, "sale");
    }
}
