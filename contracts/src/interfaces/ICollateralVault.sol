// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title CollateralVault: ETH that secures loans, kept apart per loan
/// @notice ETH leaves an account to two places only: the borrower's registered address, after a delay in which it can be
/// cancelled, or the sale address, within what a recorded sale allows. There is no function to lend it, pledge it, approve
/// anybody for it or call another contract with it.
/// @dev An account is keccak256(abi.encode(loan, borrower)): the address a borrower pays to is bound to where the money may
/// return, so whoever opens an account for somebody else's loan opens another one. Amounts are in wei. Times are Unix seconds.
/// Roles are those of the AccessManager: COLLATERAL_AGENT, SALE_RECORDER, TOKEN_CONTROLLER, TOKEN_GUARDIAN, COUNCIL, ADMIN.
interface ICollateralVault {
    // ------------------------------------------------------------------------------------------------------------- types

    /// @notice What bounds the keys.
    /// @param releaseDelay Seconds from proposing a release to the borrower to making it; fixed.
    /// @param noticePeriod Seconds from announcing another borrower's or sale address to its effect; fixed.
    /// @param releaseLimitPerDay Wei released within any 24 hours: half at once, the rest as it refills.
    /// @param saleLimitPerDay Wei sent to the sale address within any 24 hours: half at once, the rest as it refills.
    struct Safeguards {
        uint32 releaseDelay;
        uint32 noticePeriod;
        uint256 releaseLimitPerDay;
        uint256 saleLimitPerDay;
    }

    /// @notice A release, by its id. An id is used once. `executableAt` zero: there never was one.
    /// @param amount Still to be released; zero once it was made, withdrawn or cancelled.
    struct Release {
        uint96 amount;
        uint48 executableAt;
    }

    /// @notice A recorded sale, by its id. An id is used once. `expiresAt` zero: there never was one.
    /// @param remaining May still be sold; zero once all was, or it was withdrawn or cancelled.
    struct Sale {
        uint96 remaining;
        uint48 expiresAt;
    }

    /// @notice Another address that was announced; all zero when there is none.
    struct PendingAddress {
        address next;
        uint48 effectiveAt;
        bool objected;
    }

    // ------------------------------------------------------------------------------------------------------------ events

    /// @notice Emitted when an account and its deposit address exist.
    event AccountOpened(
        bytes32 indexed account, bytes32 indexed loan, address indexed borrower, address depositAddress
    );

    /// @notice Emitted when ETH came in.
    /// @param from Who paid: the caller of `deposit` or of the deposit address. Zero: it arrived unseen (before the deposit
    /// address had code, or by force), so nobody can say who paid.
    /// @param origin Who signed the transaction.
    event Deposited(bytes32 indexed account, address indexed from, uint256 amount, address origin);

    /// @notice Emitted when a release was proposed.
    event ReleaseProposed(bytes32 indexed account, bytes32 indexed releaseId, uint256 amount, uint48 executableAt);

    /// @notice Emitted when the agent took its proposal back, or the guardian cancelled it.
    event ReleaseCancelled(bytes32 indexed account, bytes32 indexed releaseId);

    /// @notice Emitted when ETH went back to the borrower.
    event Released(bytes32 indexed account, bytes32 indexed releaseId, address indexed to, uint256 amount);

    /// @notice Emitted when a sale was recorded.
    event SaleRecorded(bytes32 indexed account, bytes32 indexed saleId, uint256 amount, uint48 expiresAt);

    /// @notice Emitted when what was left of a recorded sale was withdrawn, or the guardian cancelled it.
    event SaleCancelled(bytes32 indexed account, bytes32 indexed saleId);

    /// @notice Emitted when ETH went to the sale address.
    event Sold(bytes32 indexed account, bytes32 indexed saleId, address indexed to, uint256 amount);

    /// @notice Emitted when another borrower's address was announced.
    event BorrowerChangeAnnounced(
        bytes32 indexed account, address indexed borrower, address indexed next, uint48 effectiveAt
    );

    /// @notice Emitted when the present borrower's address objected to the change: it can only be cancelled.
    event BorrowerChangeObjected(bytes32 indexed account, address indexed borrower, address indexed next);

    /// @notice Emitted when the council called the change off.
    event BorrowerChangeCancelled(bytes32 indexed account, address indexed next);

    /// @notice Emitted when what is released goes to another address from now on.
    event BorrowerChanged(bytes32 indexed account, address indexed borrower, address indexed next);

    /// @notice Emitted when another sale address was announced.
    event SaleAddressAnnounced(address indexed next, uint48 effectiveAt);

    /// @notice Emitted when the council called that off.
    event SaleAddressCancelled(address indexed next);

    /// @notice Emitted when what is sold goes to another address from now on.
    event SaleAddressChanged(address indexed previous, address indexed next);

    /// @notice Emitted when releases and sales stopped.
    event Paused(address account);

    /// @notice Emitted when they may go on.
    event Unpaused(address account);

    /// @notice Emitted when the daily limits were set.
    event VaultLimitsSet(uint256 releaseLimitPerDay, uint256 saleLimitPerDay);

    // ------------------------------------------------------------------------------------------------------------ errors

    /// @notice The safeguards, an address or a limit make no sense.
    error CollateralVault_InvalidSettings();

    /// @notice The account was not opened.
    error CollateralVault_NoAccount(bytes32 account);

    /// @notice The borrower's or the next address cannot be this one.
    error CollateralVault_InvalidAddress(address given);

    /// @notice The amount is zero, or above what can be.
    error CollateralVault_InvalidAmount(uint256 amount);

    /// @notice More than the account holds.
    error CollateralVault_AboveBalance(bytes32 account, uint256 balance, uint256 amount);

    /// @notice Only the deposit address of the account may say who paid.
    error CollateralVault_NotTheDepositAddress(bytes32 account, address caller);

    /// @notice Releases and sales are paused.
    error CollateralVault_Paused();

    /// @notice The vault is not paused.
    error CollateralVault_NotPaused();

    /// @notice The id was used before.
    error CollateralVault_IdUsed(bytes32 id);

    /// @notice There is nothing under this id: never was, already made, or cancelled.
    error CollateralVault_NothingOpen(bytes32 id);

    /// @notice The release or change waits until `executableAt`.
    error CollateralVault_TooEarly(uint48 executableAt);

    /// @notice The release or sale lapsed at `expiredAt`.
    error CollateralVault_Expired(uint48 expiredAt);

    /// @notice The sale's end is in the past or too far ahead.
    error CollateralVault_InvalidExpiry(uint48 expiresAt);

    /// @notice More than the recorded sale still allows.
    error CollateralVault_AboveSale(uint256 remaining, uint256 amount);

    /// @notice No change was announced.
    error CollateralVault_NoChange();

    /// @notice A change is announced already; the council cancels it first.
    error CollateralVault_ChangePending(address next);

    /// @notice The present borrower's address objected.
    error CollateralVault_ChangeObjected(bytes32 account);

    /// @notice Only the present borrower's address may object.
    error CollateralVault_NotTheBorrower(bytes32 account, address caller);

    /// @notice The receiver refused the ETH; nothing happened.
    error CollateralVault_PaymentFailed(address to);

    // ------------------------------------------------------------------------------------------------------------ anybody

    /// @notice Opens the account of this loan and borrower, with its deposit address, and takes in what arrived there before.
    /// Opening it again only takes in.
    /// @param loan Opaque reference of the loan; nothing about it is on chain.
    function open(bytes32 loan, address borrower) external returns (bytes32 account);

    /// @notice Credits the ETH sent along to an open account. Never stopped by a pause.
    function deposit(bytes32 account) external payable;

    /// @notice What the deposit address of `account` calls with the ETH it was paid by `from`.
    function depositFrom(bytes32 account, address from) external payable;

    /// @notice Makes the address that was announced for this account the borrower's, once the notice is over.
    function applyBorrowerChange(bytes32 account) external;

    /// @notice Makes the announced sale address the one in force, once the notice is over.
    function applySaleAddress() external;

    // ----------------------------------------------------------------------------------------------------------- borrower

    /// @notice Stops a change of the caller's own address: from then on only the council can end it, and nothing applies it.
    function objectToBorrowerChange(bytes32 account) external;

    // --------------------------------------------------------------------------------------------------- COLLATERAL_AGENT

    /// @notice Announces that `amount` goes back to the borrower after the delay.
    function proposeRelease(bytes32 account, bytes32 releaseId, uint256 amount) external;

    /// @notice Takes back a release that was not made yet.
    function withdrawRelease(bytes32 account, bytes32 releaseId) external;

    /// @notice Sends what was proposed to the borrower's registered address; within 7 days of the end of the delay.
    function executeRelease(bytes32 account, bytes32 releaseId) external;

    /// @notice Sends `amount` to the sale address within a recorded sale. May be called in portions.
    function executeSale(bytes32 account, bytes32 saleId, uint256 amount) external;

    // ------------------------------------------------------------------------------------------------------ SALE_RECORDER

    /// @notice Allows the agent to sell up to `amount` of this account until `expiresAt`, at most 7 days ahead.
    function recordSale(bytes32 account, bytes32 saleId, uint256 amount, uint48 expiresAt) external;

    /// @notice Takes back what is left of a recorded sale.
    function withdrawSale(bytes32 account, bytes32 saleId) external;

    // --------------------------------------------------------------------------------------------------- TOKEN_CONTROLLER

    /// @notice Announces another address for the borrower. It takes effect after the notice period, unless the council
    /// cancels or the present address objects.
    function announceBorrowerChange(bytes32 account, address next) external;

    // -------------------------------------------------------------------------------------------------- guardian, council

    /// @notice Stops releases and sales. [TOKEN_GUARDIAN] Deposits go on.
    function pause() external;

    /// @notice Cancels a proposed release. [TOKEN_GUARDIAN]
    function cancelRelease(bytes32 account, bytes32 releaseId) external;

    /// @notice Cancels what is left of a recorded sale. [TOKEN_GUARDIAN]
    function cancelSale(bytes32 account, bytes32 saleId) external;

    /// @notice Lets releases and sales go on. [COUNCIL]
    function unpause() external;

    /// @notice Calls a change of borrower's address off. [COUNCIL]
    function cancelBorrowerChange(bytes32 account) external;

    /// @notice Calls a change of the sale address off. [COUNCIL]
    function cancelSaleAddress() external;

    // -------------------------------------------------------------------------------------------------------------- ADMIN

    /// @notice Announces another sale address; it takes effect after the notice period, unless the council cancels.
    function announceSaleAddress(address next) external;

    /// @notice Sets the daily limits. What was used counts on.
    function setLimits(uint256 releaseLimit, uint256 saleLimit) external;

    // -------------------------------------------------------------------------------------------------------------- views

    /// @notice The account of this loan and borrower, open or not.
    function accountOf(bytes32 loan, address borrower) external pure returns (bytes32);

    /// @notice Where the account's ETH can be sent to from any wallet, open or not.
    function depositAddressOf(bytes32 account) external view returns (address);

    /// @notice Wei the account holds.
    function balanceOf(bytes32 account) external view returns (uint256);

    /// @notice Where releases of the account go now; zero: not open.
    function borrowerOf(bytes32 account) external view returns (address);

    /// @notice Wei of all accounts. The vault's own balance is never below it.
    function totalCollateral() external view returns (uint256);

    /// @notice A release by its id.
    function releaseOf(bytes32 account, bytes32 releaseId) external view returns (Release memory);

    /// @notice A recorded sale by its id.
    function saleOf(bytes32 account, bytes32 saleId) external view returns (Sale memory);

    /// @notice The change of borrower's address that is announced.
    function borrowerChangeOf(bytes32 account) external view returns (PendingAddress memory);

    /// @notice Where sales go now.
    function saleAddress() external view returns (address);

    /// @notice The sale address that is announced.
    function saleAddressChange() external view returns (PendingAddress memory);

    /// @notice Whether releases and sales are stopped.
    function paused() external view returns (bool);

    /// @notice Seconds from proposing a release to making it.
    function releaseDelay() external view returns (uint32);

    /// @notice Seconds of notice of another borrower's or sale address.
    function noticePeriod() external view returns (uint32);

    /// @notice Wei that may be released within any 24 hours.
    function releaseLimitPerDay() external view returns (uint256);

    /// @notice Wei that may be sold within any 24 hours.
    function saleLimitPerDay() external view returns (uint256);

    /// @notice Code behind every deposit address.
    function forwarder() external view returns (address);
}
