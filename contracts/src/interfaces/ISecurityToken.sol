// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title SecurityToken: one issue of a security that only verified, admitted people can hold
/// @notice ERC-20 with permit, ERC-7943 and ERC-1404. Every change of balance between two holders passes one gate; nobody's
/// hot key can move a holder's units to somebody else.
/// @dev Amounts are in base units (zero decimals unless the terms say otherwise), at most 2^96 - 1. Times are Unix seconds.
/// Roles are those of the AccessManager: TOKEN_AGENT, TOKEN_CONTROLLER, TOKEN_GUARDIAN, COUNCIL, ADMIN. A controller's call
/// is scheduled in the manager, waits at least `controllerDelay`, and is then made directly by the controller.
interface ISecurityToken {
    // ------------------------------------------------------------------------------------------------------------- types

    /// @notice A document the terms refer to.
    /// @param name What it is, e.g. "Terms of the bonds".
    /// @param uri Where to read it.
    /// @param hash SHA-256 of its bytes.
    struct Document {
        string name;
        string uri;
        bytes32 hash;
    }

    /// @notice The terms; everything a holder buys under. Fixed for good.
    /// @param faceValueMinor Per unit, in minor units of `currency`.
    /// @param rateBps Yearly rate, 1/100 of a percent.
    /// @param authorisedUnits How many units may be outstanding.
    /// @param qiiOnly Only qualified institutional investors may receive.
    /// @param holderCap Highest number of addresses with a balance; 0: none.
    /// @param minimumLotUnits What is moved and what is kept is zero or at least this; 1: none.
    /// @param wholeBalanceOnly A holder may only pass on everything at once.
    /// @param lockUpUntil Holders may not transfer before; 0: none.
    struct Terms {
        string name;
        string symbol;
        uint8 decimals;
        string isin;
        string currency;
        uint256 faceValueMinor;
        uint32 rateBps;
        uint48 issueAt;
        uint48 maturityAt;
        uint256 authorisedUnits;
        bool qiiOnly;
        uint32 holderCap;
        uint256 minimumLotUnits;
        bool wholeBalanceOnly;
        uint48 lockUpUntil;
        Document[] documents;
    }

    /// @notice What bounds the keys of this issue.
    /// @param controllerDelay Seconds a controller's call must have been in public view; fixed.
    /// @param recoveryDelay Seconds from announcing a recovery to making it; fixed.
    /// @param admissionLimitPerDay Admissions within any 24 hours: half at once, the rest as it refills.
    /// @param mintLimitPerDay Units minted within any 24 hours: half at once, the rest as it refills.
    struct Safeguards {
        uint32 controllerDelay;
        uint32 recoveryDelay;
        uint256 admissionLimitPerDay;
        uint256 mintLimitPerDay;
    }

    /// @notice A recovery under way; all zero when there is none.
    struct Recovery {
        address replacement;
        uint48 executableAt;
        uint256 replacementSbt;
        bool objected;
    }

    // ------------------------------------------------------------------------------------------------------------ events

    /// @notice Emitted when the SBT `sbtId` of `holder` may receive this security.
    event Admitted(address indexed holder, uint256 indexed sbtId);

    /// @notice Emitted when it may not any more.
    event Dismissed(address indexed holder, uint256 indexed sbtId);

    /// @notice Emitted when transfers, mints and recoveries stopped.
    event Paused(address account);

    /// @notice Emitted when they may go on.
    event Unpaused(address account);

    /// @notice Emitted with ERC-7943's ForcedTransfer when the controller gave a reason.
    event ForcedTransferReason(address indexed from, address indexed to, uint256 amount, bytes32 indexed reason);

    /// @notice Emitted when units were redeemed (burned against payment). `early`: before maturity, by the controller.
    event Redeemed(address indexed holder, uint256 amount, bool early);

    /// @notice Emitted when units redeemed by mistake or by a thief were given back.
    event RedemptionReversed(address indexed holder, uint256 amount, bytes32 indexed reason);

    /// @notice Emitted when wrongly minted units were burned; they may be minted again.
    event Burned(address indexed holder, uint256 amount, bytes32 indexed reason);

    /// @notice Emitted when holders' transfers were closed from `from` to `until` (exclusive); both zero: called off.
    event TransferFreezeSet(uint48 from, uint48 until);

    /// @notice Emitted when a recovery was announced; `lost` is locked.
    event RecoveryAnnounced(address indexed lost, address indexed replacement, uint48 executableAt);

    /// @notice Emitted when the lost wallet itself objected: only the council or the controller can go on.
    event RecoveryObjected(address indexed lost, address indexed replacement);

    /// @notice Emitted when the council called a recovery off; `lost` is unlocked.
    event RecoveryCancelled(address indexed lost, address indexed replacement);

    /// @notice Emitted when everything was moved from `lost` to `replacement`.
    event RecoveryCompleted(address indexed lost, address indexed replacement, uint256 amount);

    /// @notice Emitted when more units may be outstanding.
    event AuthorisedAmountRaised(uint256 authorised);

    /// @notice Emitted when redeemed units took their authorisation with them.
    event AuthorisedAmountLowered(uint256 authorised);

    /// @notice Emitted when a document was recorded; a former one of the same name stays readable by index.
    event DocumentRecorded(uint256 indexed index, string name, string uri, bytes32 documentHash);

    /// @notice Emitted when the daily limits were set.
    event LimitsSet(uint256 admissionLimitPerDay, uint256 mintLimitPerDay);

    // ------------------------------------------------------------------------------------------------------------ errors

    /// @notice The rules refuse it; `code` is what `detectTransferRestriction` answers.
    error SecurityToken_Restricted(uint8 code);

    /// @notice Entry `index` of a batch is refused; nothing of the batch happened.
    error SecurityToken_EntryRestricted(uint256 index, address holder, uint8 code);

    /// @notice Entry `index` of a batch asks for nothing, or for more than can be; nothing of the batch happened.
    error SecurityToken_InvalidEntry(uint256 index, uint256 amount);

    /// @notice A batch's lists differ in length, or it is empty.
    error SecurityToken_InvalidBatch(uint256 holders, uint256 amounts);

    /// @notice The terms or safeguards make no sense.
    error SecurityToken_InvalidTerms();

    /// @notice The amount is zero where it must not be, or above what can be.
    error SecurityToken_InvalidAmount(uint256 amount);

    /// @notice More than is authorised would be outstanding.
    error SecurityToken_AboveAuthorised(uint256 wouldBe, uint256 authorised);

    /// @notice The authorised amount can only be raised.
    error SecurityToken_NotRaised(uint256 current, uint256 given);

    /// @notice The agent can only freeze more.
    error SecurityToken_FreezeNotRaised(address holder, uint256 current, uint256 given);

    /// @notice The security has matured: nothing can be minted.
    error SecurityToken_Matured(uint48 maturityAt);

    /// @notice The security has not matured: the agent cannot redeem.
    error SecurityToken_NotMatured(uint48 maturityAt);

    /// @notice The security is paused already.
    error SecurityToken_AlreadyPaused();

    /// @notice The security is not paused.
    error SecurityToken_NotPaused();

    /// @notice The controller's call must be scheduled in the manager and made directly, with a delay of `required` or more.
    error SecurityToken_ControllerDelayTooShort(uint32 delay, uint32 required);

    /// @notice The controller's call was scheduled for a time too soon after it was given the role.
    error SecurityToken_ControllerTooNew(uint48 memberSince, uint48 scheduledFor);

    /// @notice The two wallets are the same or do not belong to one person.
    error SecurityToken_NotSameSubject(address lost, address replacement);

    /// @notice A recovery of this wallet is under way.
    error SecurityToken_RecoveryPending(address lost);

    /// @notice No recovery of this wallet to that replacement is under way.
    error SecurityToken_NoRecovery(address lost, address replacement);

    /// @notice The recovery waits until `executableAt`.
    error SecurityToken_RecoveryTooEarly(uint48 executableAt);

    /// @notice The lost wallet objected.
    error SecurityToken_RecoveryObjected(address lost);

    /// @notice The replacement's SBT is not the one that was announced.
    error SecurityToken_ReplacementChanged(address replacement);

    /// @notice The window is in the past, empty, too long, too far ahead, too soon after the last, or one is open now.
    error SecurityToken_InvalidFreezeWindow(uint48 from, uint48 until);

    /// @notice More than was redeemed from this holder would be given back.
    error SecurityToken_AboveRedeemed(address holder, uint256 redeemed, uint256 amount);

    /// @notice There is no such document.
    error SecurityToken_NoDocument();

    // -------------------------------------------------------------------------------------------------------- TOKEN_AGENT

    /// @notice Lets the SBTs of `holders` receive this security. Each must be effective. Already admitted ones are left alone.
    /// @dev Admission is of an SBT's id, so a re-issued SBT has to be admitted anew. Emits Admitted. Counts against the limit.
    function admit(address[] calldata holders) external;

    /// @notice Takes admissions back; what is held stays held. Those not admitted are left alone. Emits Dismissed.
    function dismiss(address[] calldata holders) external;

    /// @notice Mints `amount` to an effective, admitted holder, before maturity, within the authorised amount and the limit.
    function mint(address to, uint256 amount) external;

    /// @notice Mints to many, all or none.
    function mintBatch(address[] calldata to, uint256[] calldata amounts) external;

    /// @notice Raises the frozen amount of `holder` to `amount`. Emits Frozen.
    function freeze(address holder, uint256 amount) external;

    /// @notice Burns `amount` of `holder` against payment, from maturity on; whatever the holder's SBT, pause or freeze.
    /// @dev The units take their authorisation with them. Emits Redeemed.
    function redeem(address holder, uint256 amount) external;

    /// @notice Begins moving everything from a lost wallet to another wallet of the same person; locks the lost one.
    function announceRecovery(address lost, address replacement) external;

    /// @notice Moves everything, with the frozen amount, once the wait is over and nobody objected.
    /// @dev The replacement must be effective, with the SBT that was announced. The lost wallet's admission goes over to it;
    /// had the lost wallet been dismissed, the replacement must be admitted already. The lost wallet ends dismissed.
    function recover(address lost, address replacement) external;

    /// @notice Closes holders' transfers around a record date: at most 10 days, at least 20 days after the last, at most 60
    /// days ahead. Zero and zero calls off a window that has not begun.
    function setTransferFreeze(uint48 from, uint48 until) external;

    // ------------------------------------------------------------------------------------------------ the lost wallet itself

    /// @notice Objects to the recovery of the caller's wallet. It stays locked until the council or the controller decides.
    function objectToRecovery() external;

    // --------------------------------------------------------------------------------------------- TOKEN_CONTROLLER, delayed

    /// @notice Moves units by authority, frozen ones too, to an effective, admitted address, giving a reason.
    function forcedTransfer(address from, address to, uint256 amount, bytes32 reason) external returns (bool);

    /// @notice Redeems before maturity.
    function redeemEarly(address holder, uint256 amount) external;

    /// @notice Burns wrongly minted units; they may be minted again.
    function burn(address holder, uint256 amount, bytes32 reason) external;

    /// @notice Gives back units that were redeemed from `holder` by mistake or by a thief, with their authorisation.
    function reverseRedemption(address holder, uint256 amount, bytes32 reason) external;

    /// @notice Records a document, or a new version of one.
    function setDocument(string calldata documentName, string calldata uri, bytes32 documentHash) external;

    // ------------------------------------------------------------------------------------------------ guardian, council, admin

    /// @notice Stops transfers, mints and recoveries by the agent; redemption and the controller go on. [TOKEN_GUARDIAN]
    function pause() external;

    /// @notice Ends a pause. [COUNCIL]
    function unpause() external;

    /// @notice Calls a recovery off and unlocks the wallet. [COUNCIL]
    function cancelRecovery(address lost) external;

    /// @notice Lets more units be outstanding. [ADMIN]
    function raiseAuthorisedAmount(uint256 authorised) external;

    /// @notice Sets the daily limits. [ADMIN]
    function setLimits(uint256 admissionLimitPerDay, uint256 mintLimitPerDay) external;

    // ------------------------------------------------------------------------------------------------------------- views

    /// @notice The InvestorSBT contract this security asks.
    function sbt() external view returns (address);

    /// @notice The terms, with the documents as they were last recorded (all versions).
    function terms() external view returns (Terms memory);

    /// @notice The safeguards as they are now.
    function safeguards() external view returns (Safeguards memory);

    /// @notice How many units may be outstanding.
    function authorisedAmount() external view returns (uint256);

    /// @notice How many addresses have a balance.
    function holderCount() external view returns (uint256);

    /// @notice Whether the security is paused.
    function paused() external view returns (bool);

    /// @notice The SBT id admitted for `holder`; 0: none. It counts only while it is the holder's SBT.
    function admittedSbt(address holder) external view returns (uint256);

    /// @notice Whether the SBT that `holder` has now is admitted (effective or not).
    function isAdmitted(address holder) external view returns (bool);

    /// @notice The part of the balance that is not frozen.
    function unfrozenBalanceOf(address holder) external view returns (uint256);

    /// @notice The recovery of `lost` under way.
    function recoveryOf(address lost) external view returns (Recovery memory);

    /// @notice The current or next window in which holders' transfers are closed.
    function transferFreeze() external view returns (uint48 from, uint48 until);

    /// @notice What was redeemed from `holder` and not given back.
    function redeemedFrom(address holder) external view returns (uint256);

    /// @notice How many may be admitted right now.
    function admissionsRemaining() external view returns (uint256);

    /// @notice How many units may be minted right now, as far as the daily limit goes.
    function mintRemaining() external view returns (uint256);

    /// @notice The latest document of that name.
    function getDocument(string calldata documentName) external view returns (Document memory);

    /// @notice How many documents and versions were recorded.
    function documentCount() external view returns (uint256);

    /// @notice The document recorded as number `index`.
    function documentAt(uint256 index) external view returns (Document memory);
}
