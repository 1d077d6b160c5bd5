// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DepositForwarder} from "./DepositForwarder.sol";
import {FixedAuthority} from "./FixedAuthority.sol";
import {ICollateralVault} from "./interfaces/ICollateralVault.sol";
import {DailyLimit} from "./libraries/DailyLimit.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title CollateralVault
/// @dev See {ICollateralVault} for what each function promises. Every wait that protects a borrower is the vault's own, counted
/// here and not in the manager, so no setting of a role can shorten it. ETH leaves through `_pay` alone, after every effect.
contract CollateralVault is FixedAuthority, ICollateralVault {
    using DailyLimit for RateLimiter.RefillingBucket;

    // ---------------------------------------------------------------------------------------------- constants, immutables

    uint32 private constant MAX_DELAY = 90 days;
    uint48 private constant MAX_SALE_LIFE = 7 days;
    uint48 private constant RELEASE_LIFE = 7 days;
    uint256 private constant MAX_LIMIT = type(uint96).max;

    uint32 private immutable _RELEASE_DELAY;
    uint32 private immutable _NOTICE_PERIOD;
    address private immutable _FORWARDER;

    // ------------------------------------------------------------------------------------------------------------ storage

    /// @dev One slot. `borrower` zero: not open.
    struct Account {
        address borrower;
        uint96 balance;
    }

    /// @dev One slot.
    struct State {
        bool paused;
        uint96 total;
    }

    State private _state;
    address private _saleAddress;
    PendingAddress private _saleAddressChange;
    mapping(bytes32 account => Account) private _accounts;
    mapping(bytes32 account => PendingAddress) private _borrowerChanges;
    mapping(bytes32 account => mapping(bytes32 releaseId => Release)) private _releases;
    mapping(bytes32 account => mapping(bytes32 saleId => Sale)) private _sales;
    RateLimiter.RefillingBucket private _releasing;
    RateLimiter.RefillingBucket private _selling;

    // --------------------------------------------------------------------------------------------- constructor, modifiers

    /// @param manager The AccessManager that says who holds which role; fixed.
    /// @param saleAddress_ Where sales go.
    constructor(address manager, address saleAddress_, Safeguards memory safeguards) FixedAuthority(manager) {
        bool valid = safeguards.releaseDelay != 0 && safeguards.releaseDelay <= MAX_DELAY
            && safeguards.noticePeriod != 0 && safeguards.noticePeriod <= MAX_DELAY && saleAddress_ != address(0)
            && saleAddress_ != address(this);
        if (!valid) revert CollateralVault_InvalidSettings();
        _RELEASE_DELAY = safeguards.releaseDelay;
        _NOTICE_PERIOD = safeguards.noticePeriod;
        _FORWARDER = address(new DepositForwarder());
        _saleAddress = saleAddress_;
        emit SaleAddressChanged(address(0), saleAddress_);
        _setLimits(safeguards.releaseLimitPerDay, safeguards.saleLimitPerDay);
    }

    modifier whenNotPaused() {
        if (_state.paused) revert CollateralVault_Paused();
        _;
    }

    // ------------------------------------------------------------------------------------------------------------- anybody

    /// @inheritdoc ICollateralVault
    function open(bytes32 loan, address borrower) external override returns (bytes32 account) {
        if (borrower == address(0) || borrower == address(this)) revert CollateralVault_InvalidAddress(borrower);
        account = accountOf(loan, borrower);
        address payable at = payable(depositAddressOf(account));
        if (_accounts[account].borrower == address(0)) {
            _accounts[account].borrower = borrower;
            emit AccountOpened(account, loan, borrower, at);
            Clones.cloneDeterministicWithImmutableArgs(_FORWARDER, abi.encode(account), account);
        }
        if (at.balance != 0) DepositForwarder(at).sweep();
    }

    /// @inheritdoc ICollateralVault
    function deposit(bytes32 account) external payable override {
        _credit(account, msg.sender);
    }

    /// @inheritdoc ICollateralVault
    function depositFrom(bytes32 account, address from) external payable override {
        if (msg.sender != depositAddressOf(account)) revert CollateralVault_NotTheDepositAddress(account, msg.sender);
        _credit(account, from);
    }

    /// @inheritdoc ICollateralVault
    function applyBorrowerChange(bytes32 account) external override {
        PendingAddress memory change = _borrowerChanges[account];
        if (change.objected) revert CollateralVault_ChangeObjected(account);
        _checkDue(change);
        delete _borrowerChanges[account];
        address previous = _accounts[account].borrower;
        _accounts[account].borrower = change.next;
        emit BorrowerChanged(account, previous, change.next);
    }

    /// @inheritdoc ICollateralVault
    function applySaleAddress() external override {
        PendingAddress memory change = _saleAddressChange;
        _checkDue(change);
        delete _saleAddressChange;
        emit SaleAddressChanged(_saleAddress, change.next);
        _saleAddress = change.next;
    }

    // ------------------------------------------------------------------------------------------------------------ borrower

    /// @inheritdoc ICollateralVault
    function objectToBorrowerChange(bytes32 account) external override {
        if (msg.sender != _accounts[account].borrower) revert CollateralVault_NotTheBorrower(account, msg.sender);
        PendingAddress storage change = _borrowerChanges[account];
        if (change.effectiveAt == 0) revert CollateralVault_NoChange();
        change.objected = true;
        emit BorrowerChangeObjected(account, msg.sender, change.next);
    }

    // ---------------------------------------------------------------------------------------------------- COLLATERAL_AGENT

    /// @inheritdoc ICollateralVault
    function proposeRelease(bytes32 account, bytes32 releaseId, uint256 amount)
        external
        override
        restricted
        whenNotPaused
    {
        Account memory found = _open(account);
        if (amount == 0) revert CollateralVault_InvalidAmount(amount);
        if (amount > found.balance) revert CollateralVault_AboveBalance(account, found.balance, amount);
        if (_releases[account][releaseId].executableAt != 0) revert CollateralVault_IdUsed(releaseId);
        uint48 executableAt = Time.timestamp() + _RELEASE_DELAY;
        _releases[account][releaseId] = Release(uint96(amount), executableAt); // fits: at most a balance
        emit ReleaseProposed(account, releaseId, amount, executableAt);
    }

    /// @inheritdoc ICollateralVault
    function withdrawRelease(bytes32 account, bytes32 releaseId) external override restricted {
        _endRelease(account, releaseId);
    }

    /// @inheritdoc ICollateralVault
    function executeRelease(bytes32 account, bytes32 releaseId) external override restricted whenNotPaused {
        Release memory release = _releases[account][releaseId];
        if (release.amount == 0) revert CollateralVault_NothingOpen(releaseId);
        if (block.timestamp < release.executableAt) revert CollateralVault_TooEarly(release.executableAt);
        uint48 lapses = release.executableAt + RELEASE_LIFE;
        if (block.timestamp >= lapses) revert CollateralVault_Expired(lapses);
        _releases[account][releaseId].amount = 0;
        _releasing.consume(release.amount);
        address to = _debit(account, release.amount);
        emit Released(account, releaseId, to, release.amount);
        _pay(to, release.amount);
    }

    /// @inheritdoc ICollateralVault
    function executeSale(bytes32 account, bytes32 saleId, uint256 amount) external override restricted whenNotPaused {
        Sale memory sale = _sales[account][saleId];
        if (sale.remaining == 0) revert CollateralVault_NothingOpen(saleId);
        if (block.timestamp >= sale.expiresAt) revert CollateralVault_Expired(sale.expiresAt);
        if (amount == 0) revert CollateralVault_InvalidAmount(amount);
        if (amount > sale.remaining) revert CollateralVault_AboveSale(sale.remaining, amount);
        _sales[account][saleId].remaining = sale.remaining - uint96(amount); // fits: at most what remains
        _selling.consume(amount);
        _debit(account, amount);
        address to = _saleAddress;
        emit Sold(account, saleId, to, amount);
        _pay(to, amount);
    }

    // ------------------------------------------------------------------------------------------------------- SALE_RECORDER

    /// @inheritdoc ICollateralVault
    function recordSale(bytes32 account, bytes32 saleId, uint256 amount, uint48 expiresAt)
        external
        override
        restricted
        whenNotPaused
    {
        _open(account);
        if (amount == 0 || amount > type(uint96).max) revert CollateralVault_InvalidAmount(amount);
        if (expiresAt <= block.timestamp || expiresAt > block.timestamp + MAX_SALE_LIFE) {
            revert CollateralVault_InvalidExpiry(expiresAt);
        }
        if (_sales[account][saleId].expiresAt != 0) revert CollateralVault_IdUsed(saleId);
        _sales[account][saleId] = Sale(uint96(amount), expiresAt); // bounded above
        emit SaleRecorded(account, saleId, amount, expiresAt);
    }

    /// @inheritdoc ICollateralVault
    function withdrawSale(bytes32 account, bytes32 saleId) external override restricted {
        _endSale(account, saleId);
    }

    // ---------------------------------------------------------------------------------------------------- TOKEN_CONTROLLER

    /// @inheritdoc ICollateralVault
    function announceBorrowerChange(bytes32 account, address next) external override restricted {
        Account memory found = _open(account);
        if (next == address(0) || next == address(this) || next == found.borrower) {
            revert CollateralVault_InvalidAddress(next);
        }
        PendingAddress memory change = _announced(_borrowerChanges[account], next);
        _borrowerChanges[account] = change;
        emit BorrowerChangeAnnounced(account, found.borrower, next, change.effectiveAt);
    }

    // --------------------------------------------------------------------------------------------------- guardian, council

    /// @inheritdoc ICollateralVault
    function pause() external override restricted whenNotPaused {
        _state.paused = true;
        emit Paused(msg.sender);
    }

    /// @inheritdoc ICollateralVault
    function cancelRelease(bytes32 account, bytes32 releaseId) external override restricted {
        _endRelease(account, releaseId);
    }

    /// @inheritdoc ICollateralVault
    function cancelSale(bytes32 account, bytes32 saleId) external override restricted {
        _endSale(account, saleId);
    }

    /// @inheritdoc ICollateralVault
    function unpause() external override restricted {
        if (!_state.paused) revert CollateralVault_NotPaused();
        _state.paused = false;
        emit Unpaused(msg.sender);
    }

    /// @inheritdoc ICollateralVault
    function cancelBorrowerChange(bytes32 account) external override restricted {
        address next = _borrowerChanges[account].next;
        if (next == address(0)) revert CollateralVault_NoChange();
        delete _borrowerChanges[account];
        emit BorrowerChangeCancelled(account, next);
    }

    /// @inheritdoc ICollateralVault
    function cancelSaleAddress() external override restricted {
        address next = _saleAddressChange.next;
        if (next == address(0)) revert CollateralVault_NoChange();
        delete _saleAddressChange;
        emit SaleAddressCancelled(next);
    }

    // --------------------------------------------------------------------------------------------------------------- admin

    /// @inheritdoc ICollateralVault
    function announceSaleAddress(address next) external override restricted {
        if (next == address(0) || next == address(this) || next == _saleAddress) {
            revert CollateralVault_InvalidAddress(next);
        }
        PendingAddress memory change = _announced(_saleAddressChange, next);
        _saleAddressChange = change;
        emit SaleAddressAnnounced(next, change.effectiveAt);
    }

    /// @inheritdoc ICollateralVault
    function setLimits(uint256 releaseLimit, uint256 saleLimit) external override restricted {
        _setLimits(releaseLimit, saleLimit);
    }

    // --------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ICollateralVault
    function accountOf(bytes32 loan, address borrower) public pure override returns (bytes32) {
        return keccak256(abi.encode(loan, borrower));
    }

    /// @inheritdoc ICollateralVault
    function depositAddressOf(bytes32 account) public view override returns (address) {
        return Clones.predictDeterministicAddressWithImmutableArgs(_FORWARDER, abi.encode(account), account);
    }

    /// @inheritdoc ICollateralVault
    function balanceOf(bytes32 account) external view override returns (uint256) {
        return _accounts[account].balance;
    }

    /// @inheritdoc ICollateralVault
    function borrowerOf(bytes32 account) external view override returns (address) {
        return _accounts[account].borrower;
    }

    /// @inheritdoc ICollateralVault
    function totalCollateral() external view override returns (uint256) {
        return _state.total;
    }

    /// @inheritdoc ICollateralVault
    function releaseOf(bytes32 account, bytes32 releaseId) external view override returns (Release memory) {
        return _releases[account][releaseId];
    }

    /// @inheritdoc ICollateralVault
    function saleOf(bytes32 account, bytes32 saleId) external view override returns (Sale memory) {
        return _sales[account][saleId];
    }

    /// @inheritdoc ICollateralVault
    function borrowerChangeOf(bytes32 account) external view override returns (PendingAddress memory) {
        return _borrowerChanges[account];
    }

    /// @inheritdoc ICollateralVault
    function saleAddress() external view override returns (address) {
        return _saleAddress;
    }

    /// @inheritdoc ICollateralVault
    function saleAddressChange() external view override returns (PendingAddress memory) {
        return _saleAddressChange;
    }

    /// @inheritdoc ICollateralVault
    function paused() external view override returns (bool) {
        return _state.paused;
    }

    /// @inheritdoc ICollateralVault
    function releaseDelay() external view override returns (uint32) {
        return _RELEASE_DELAY;
    }

    /// @inheritdoc ICollateralVault
    function noticePeriod() external view override returns (uint32) {
        return _NOTICE_PERIOD;
    }

    /// @inheritdoc ICollateralVault
    function releaseLimitPerDay() external view override returns (uint256) {
        return _releasing.limitPerDay();
    }

    /// @inheritdoc ICollateralVault
    function saleLimitPerDay() external view override returns (uint256) {
        return _selling.limitPerDay();
    }

    /// @inheritdoc ICollateralVault
    function forwarder() external view override returns (address) {
        return _FORWARDER;
    }

    // ------------------------------------------------------------------------------------------------------------ internal

    function _open(bytes32 account) private view returns (Account memory found) {
        found = _accounts[account];
        if (found.borrower == address(0)) revert CollateralVault_NoAccount(account);
    }

    /// @dev The origin is told for screening; nothing is decided by it. 96 bits are more wei than there is.
    function _credit(bytes32 account, address from) private {
        Account memory found = _open(account);
        if (msg.value == 0) revert CollateralVault_InvalidAmount(0);
        _accounts[account].balance = found.balance + uint96(msg.value);
        _state.total += uint96(msg.value);
        emit Deposited(account, from, msg.value, tx.origin);
    }

    /// @dev The borrower's address, after the books were lowered.
    function _debit(bytes32 account, uint256 amount) private returns (address) {
        Account memory found = _accounts[account];
        if (amount > found.balance) revert CollateralVault_AboveBalance(account, found.balance, amount);
        _accounts[account].balance = found.balance - uint96(amount); // fits: at most a balance
        _state.total -= uint96(amount);
        return found.borrower;
    }

    /// @dev Last in whoever calls it: what the receiver does meets finished books.
    function _pay(address to, uint256 amount) private {
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert CollateralVault_PaymentFailed(to);
    }

    function _endRelease(bytes32 account, bytes32 releaseId) private {
        if (_releases[account][releaseId].amount == 0) revert CollateralVault_NothingOpen(releaseId);
        _releases[account][releaseId].amount = 0;
        emit ReleaseCancelled(account, releaseId);
    }

    function _endSale(bytes32 account, bytes32 saleId) private {
        if (_sales[account][saleId].remaining == 0) revert CollateralVault_NothingOpen(saleId);
        _sales[account][saleId].remaining = 0;
        emit SaleCancelled(account, saleId);
    }

    /// @dev A change under way is not replaced: it would restart the wait unseen, and lose an objection.
    function _announced(PendingAddress memory present, address next) private view returns (PendingAddress memory) {
        if (present.effectiveAt != 0) revert CollateralVault_ChangePending(present.next);
        return PendingAddress(next, Time.timestamp() + _NOTICE_PERIOD, false);
    }

    function _checkDue(PendingAddress memory change) private view {
        if (change.effectiveAt == 0) revert CollateralVault_NoChange();
        if (block.timestamp < change.effectiveAt) revert CollateralVault_TooEarly(change.effectiveAt);
    }

    function _setLimits(uint256 releaseLimit, uint256 saleLimit) private {
        bool valid = releaseLimit >= 2 && releaseLimit <= MAX_LIMIT && saleLimit >= 2 && saleLimit <= MAX_LIMIT;
        if (!valid) revert CollateralVault_InvalidSettings();
        _releasing.set(releaseLimit);
        _selling.set(saleLimit);
        emit VaultLimitsSet(releaseLimit, saleLimit);
    }
}
