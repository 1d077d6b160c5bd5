// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedAuthority} from "./FixedAuthority.sol";
import {IERC1404} from "./interfaces/IERC1404.sol";
import {IERC7943Fungible} from "./interfaces/IERC7943.sol";
import {IInvestorSBT} from "./interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "./interfaces/ISecurityToken.sol";
import {AccountWord, AccountWords} from "./libraries/AccountWord.sol";
import {DailyLimit} from "./libraries/DailyLimit.sol";
import {Restriction} from "./libraries/Restriction.sol";
import {Category, Standing} from "./libraries/Standing.sol";
import {AuthorityUtils} from "@openzeppelin/contracts/access/manager/AuthorityUtils.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title SecurityToken
/// @dev See {ISecurityToken} for what each function promises. Balances, freezes and admissions stand in one slot per holder
/// (see {AccountWord}), so OpenZeppelin's ERC20 is kept for allowances, permit and its events, and `_update`, `balanceOf` and
/// `totalSupply` are ours.
contract SecurityToken is ERC20Permit, ERC165, FixedAuthority, IERC1404, IERC7943Fungible, ISecurityToken {
    using DailyLimit for RateLimiter.RefillingBucket;

    // ---------------------------------------------------------------------------------------------- constants, immutables

    uint48 private constant MAX_FREEZE_WINDOW = 10 days;
    uint48 private constant MIN_FREEZE_GAP = 20 days;
    uint48 private constant MAX_FREEZE_AHEAD = 60 days;
    uint32 private constant MAX_DELAY = 90 days;
    uint256 private constant MAX_ADMISSION_LIMIT = 1_000_000;

    IInvestorSBT private immutable _SBT;
    uint8 private immutable _DECIMALS;
    uint256 private immutable _FACE_VALUE_MINOR;
    uint32 private immutable _RATE_BPS;
    uint48 private immutable _ISSUE_AT;
    uint48 private immutable _MATURITY_AT;
    bool private immutable _QII_ONLY;
    uint32 private immutable _HOLDER_CAP;
    uint256 private immutable _MINIMUM_LOT;
    bool private immutable _WHOLE_BALANCE_ONLY;
    uint48 private immutable _LOCK_UP_UNTIL;
    uint32 private immutable _CONTROLLER_DELAY;
    uint32 private immutable _RECOVERY_DELAY;

    // ------------------------------------------------------------------------------------------------------------ storage

    /// @dev What every transfer reads besides the two accounts, in one slot.
    struct State {
        bool paused;
        uint32 holders;
        uint40 freezeFrom;
        uint40 freezeUntil;
        /// End of the last window that began.
        uint40 lastFreezeUntil;
    }

    /// @dev One slot.
    struct Supply {
        uint96 outstanding;
        uint96 authorised;
    }

    /// @dev One slot. `executableAt` zero: none.
    struct PendingRecovery {
        address replacement;
        uint40 executableAt;
        uint48 replacementSbt;
        bool objected;
    }

    State private _state;
    Supply private _supply;
    mapping(address holder => AccountWord) private _accounts;
    mapping(address lost => PendingRecovery) private _recoveries;
    mapping(address holder => uint256) private _redeemed;
    RateLimiter.RefillingBucket private _admissions;
    RateLimiter.RefillingBucket private _minting;
    string private _isin;
    string private _currency;
    Document[] private _documents;
    /// @dev Index of the latest version plus one; zero: none.
    mapping(bytes32 nameHash => uint256) private _latestDocument;

    // --------------------------------------------------------------------------------------------- constructor, modifiers

    /// @param manager The AccessManager that says who holds which role; fixed.
    /// @param sbt_ The InvestorSBT contract; fixed.
    constructor(address manager, address sbt_, Terms memory terms_, Safeguards memory safeguards_)
        ERC20(terms_.name, terms_.symbol)
        ERC20Permit(terms_.name)
        FixedAuthority(manager)
    {
        _checkTerms(sbt_, terms_, safeguards_);
        _SBT = IInvestorSBT(sbt_);
        _DECIMALS = terms_.decimals;
        _FACE_VALUE_MINOR = terms_.faceValueMinor;
        _RATE_BPS = terms_.rateBps;
        _ISSUE_AT = terms_.issueAt;
        _MATURITY_AT = terms_.maturityAt;
        _QII_ONLY = terms_.qiiOnly;
        _HOLDER_CAP = terms_.holderCap;
        _MINIMUM_LOT = terms_.minimumLotUnits;
        _WHOLE_BALANCE_ONLY = terms_.wholeBalanceOnly;
        _LOCK_UP_UNTIL = terms_.lockUpUntil;
        _CONTROLLER_DELAY = safeguards_.controllerDelay;
        _RECOVERY_DELAY = safeguards_.recoveryDelay;
        _isin = terms_.isin;
        _currency = terms_.currency;
        _supply.authorised = uint96(terms_.authorisedUnits); // bounded in _checkTerms
        emit AuthorisedAmountRaised(terms_.authorisedUnits);
        for (uint256 i = 0; i < terms_.documents.length; ++i) {
            _record(terms_.documents[i]);
        }
        _setLimits(safeguards_.admissionLimitPerDay, safeguards_.mintLimitPerDay);
    }

    /// @dev As `restricted`, but the wait cannot be configured away: the caller must have a delay of at least ours, and the
    /// call must have been scheduled for a time that lies our delay after the caller got the role. So between the first public
    /// sign (a grant, a shortened delay, a schedule) and a controller's act there is always that much time to cancel it.
    modifier delayed() {
        _checkController();
        _;
    }

    // -------------------------------------------------------------------------------------------------------- TOKEN_AGENT

    /// @inheritdoc ISecurityToken
    function admit(address[] calldata holders) external override restricted {
        uint256 added;
        for (uint256 i = 0; i < holders.length; ++i) {
            address holder = holders[i];
            (uint8 standing, uint256 sbtId,) = _SBT.profileOf(holder);
            if (standing != Standing.EFFECTIVE) {
                revert SecurityToken_EntryRestricted(i, holder, Restriction.RECEIVER_STANDING + standing);
            }
            AccountWord account = _accounts[holder];
            if (account.admittedSbt() == sbtId) continue;
            _accounts[holder] = account.withAdmittedSbt(sbtId);
            ++added;
            emit Admitted(holder, sbtId);
        }
        _admissions.consume(added);
    }

    /// @inheritdoc ISecurityToken
    function dismiss(address[] calldata holders) external override restricted {
        for (uint256 i = 0; i < holders.length; ++i) {
            _dismiss(holders[i]);
        }
    }

    /// @inheritdoc ISecurityToken
    function mint(address to, uint256 amount) external override restricted {
        _minting.consume(amount);
        if (amount == 0) revert SecurityToken_InvalidAmount(amount);
        uint8 code = _issueTo(to, amount);
        if (code != Restriction.NONE) revert SecurityToken_Restricted(code);
        _raiseSupply(amount);
    }

    /// @inheritdoc ISecurityToken
    function mintBatch(address[] calldata to, uint256[] calldata amounts) external override restricted {
        if (to.length != amounts.length || to.length == 0) {
            revert SecurityToken_InvalidBatch(to.length, amounts.length);
        }
        // A balance is at most the supply, so what fits into the one fits into the other: no entry fails there, unnamed.
        uint256 room = AccountWords.MAX_UNITS - _supply.outstanding;
        uint256 total;
        for (uint256 i = 0; i < to.length; ++i) {
            uint256 amount = amounts[i];
            if (amount == 0 || amount >= room - total) revert SecurityToken_InvalidEntry(i, amount);
            uint8 code = _issueTo(to[i], amount);
            if (code != Restriction.NONE) revert SecurityToken_EntryRestricted(i, to[i], code);
            total += amount;
        }
        _minting.consume(total);
        _raiseSupply(total);
    }

    /// @inheritdoc ISecurityToken
    function freeze(address holder, uint256 amount) external override restricted {
        AccountWord account = _accounts[holder];
        AccountWord raised = account.withFrozen(amount);
        if (raised.frozen() <= account.frozen()) {
            revert SecurityToken_FreezeNotRaised(holder, account.frozen(), amount);
        }
        _accounts[holder] = raised;
        emit Frozen(holder, raised.frozen());
    }

    /// @inheritdoc ISecurityToken
    function redeem(address holder, uint256 amount) external override restricted {
        if (block.timestamp < _MATURITY_AT) revert SecurityToken_NotMatured(_MATURITY_AT);
        _redeem(holder, amount, false);
    }

    /// @inheritdoc ISecurityToken
    function announceRecovery(address lost, address replacement) external override restricted {
        if (_recoveries[lost].executableAt != 0) revert SecurityToken_RecoveryPending(lost);
        (bool same, uint256 sbtId) = _SBT.sameSubject(lost, replacement);
        if (lost == replacement || !same) revert SecurityToken_NotSameSubject(lost, replacement);
        if (sbtId == 0) revert SecurityToken_Restricted(Restriction.RECEIVER_STANDING + Standing.NONE);
        uint48 executableAt = Time.timestamp() + _RECOVERY_DELAY;
        _recoveries[lost] = PendingRecovery(replacement, uint40(executableAt), uint48(sbtId), false);
        _accounts[lost] = _accounts[lost].lock();
        emit RecoveryAnnounced(lost, replacement, executableAt);
    }

    /// @inheritdoc ISecurityToken
    function recover(address lost, address replacement) external override restricted {
        if (_state.paused) revert SecurityToken_Restricted(Restriction.PAUSED);
        PendingRecovery memory recovery = _recoveries[lost];
        if (recovery.executableAt == 0 || recovery.replacement != replacement) {
            revert SecurityToken_NoRecovery(lost, replacement);
        }
        if (recovery.objected) revert SecurityToken_RecoveryObjected(lost);
        if (block.timestamp < recovery.executableAt) revert SecurityToken_RecoveryTooEarly(recovery.executableAt);

        (uint8 standing, uint256 sbtId,) = _SBT.profileOf(replacement);
        if (standing != Standing.EFFECTIVE) revert SecurityToken_Restricted(Restriction.RECEIVER_STANDING + standing);
        if (sbtId != recovery.replacementSbt) revert SecurityToken_ReplacementChanged(replacement);

        delete _recoveries[lost];
        uint256 amount = _carryOver(lost, replacement, sbtId);
        emit RecoveryCompleted(lost, replacement, amount);
    }

    /// @inheritdoc ISecurityToken
    function setTransferFreeze(uint48 from, uint48 until) external override restricted {
        State memory state = _state;
        if (block.timestamp >= state.freezeFrom) {
            // The window in store has begun, so it counts as the last one; one that is still open cannot be replaced.
            if (block.timestamp < state.freezeUntil) revert SecurityToken_InvalidFreezeWindow(from, until);
            state.lastFreezeUntil = state.freezeUntil;
        }
        if (from == 0 && until == 0) {
            state.freezeFrom = state.freezeUntil = state.lastFreezeUntil; // an empty window, already over
        } else {
            bool valid = from >= block.timestamp && from <= block.timestamp + MAX_FREEZE_AHEAD && until > from
                && until - from <= MAX_FREEZE_WINDOW
                && (state.lastFreezeUntil == 0 || from >= state.lastFreezeUntil + MIN_FREEZE_GAP);
            if (!valid) revert SecurityToken_InvalidFreezeWindow(from, until);
            (state.freezeFrom, state.freezeUntil) = (uint40(from), uint40(until)); // fit: at most 70 days ahead
        }
        _state = state;
        emit TransferFreezeSet(from, until);
    }

    // -------------------------------------------------------------------------------------------------- the lost wallet

    /// @inheritdoc ISecurityToken
    function objectToRecovery() external override {
        PendingRecovery storage recovery = _recoveries[msg.sender];
        if (recovery.executableAt == 0) revert SecurityToken_NoRecovery(msg.sender, address(0));
        recovery.objected = true;
        emit RecoveryObjected(msg.sender, recovery.replacement);
    }

    // ------------------------------------------------------------------------------------------ TOKEN_CONTROLLER, delayed

    /// @inheritdoc IERC7943Fungible
    function forcedTransfer(address from, address to, uint256 amount) external override delayed returns (bool) {
        _forcedTransfer(from, to, amount);
        return true;
    }

    /// @inheritdoc ISecurityToken
    function forcedTransfer(address from, address to, uint256 amount, bytes32 reason)
        external
        override
        delayed
        returns (bool)
    {
        _forcedTransfer(from, to, amount);
        emit ForcedTransferReason(from, to, amount, reason);
        return true;
    }

    /// @inheritdoc IERC7943Fungible
    function setFrozenTokens(address account, uint256 amount) external override delayed returns (bool) {
        AccountWord word = _accounts[account].withFrozen(amount);
        _accounts[account] = word;
        emit Frozen(account, word.frozen());
        return true;
    }

    /// @inheritdoc ISecurityToken
    function redeemEarly(address holder, uint256 amount) external override delayed {
        _redeem(holder, amount, true);
    }

    /// @inheritdoc ISecurityToken
    function burn(address holder, uint256 amount, bytes32 reason) external override delayed {
        _burnUnits(holder, amount);
        emit Burned(holder, amount, reason);
    }

    /// @inheritdoc ISecurityToken
    function reverseRedemption(address holder, uint256 amount, bytes32 reason) external override delayed {
        uint256 redeemed = _redeemed[holder];
        if (amount == 0 || amount > redeemed) revert SecurityToken_AboveRedeemed(holder, redeemed, amount);
        _redeemed[holder] = redeemed - amount;
        Supply memory supply = _supply;
        // Fits: this much was authorised before, and raising since then is checked against the same bound.
        supply.authorised = _toUnits(supply.authorised + amount);
        supply.outstanding = _toUnits(supply.outstanding + amount);
        _supply = supply;
        _credit(holder, _accounts[holder], amount);
        emit AuthorisedAmountRaised(supply.authorised);
        emit RedemptionReversed(holder, amount, reason);
    }

    /// @inheritdoc ISecurityToken
    function setDocument(string calldata documentName, string calldata uri, bytes32 documentHash)
        external
        override
        delayed
    {
        _record(Document(documentName, uri, documentHash));
    }

    // ---------------------------------------------------------------------------------------------------- guardian, council

    /// @inheritdoc ISecurityToken
    function pause() external override restricted {
        if (_state.paused) revert SecurityToken_AlreadyPaused();
        _state.paused = true;
        emit Paused(msg.sender);
    }

    /// @inheritdoc ISecurityToken
    function unpause() external override restricted {
        if (!_state.paused) revert SecurityToken_NotPaused();
        _state.paused = false;
        emit Unpaused(msg.sender);
    }

    /// @inheritdoc ISecurityToken
    function cancelRecovery(address lost) external override restricted {
        PendingRecovery memory recovery = _recoveries[lost];
        if (recovery.executableAt == 0) revert SecurityToken_NoRecovery(lost, address(0));
        delete _recoveries[lost];
        _accounts[lost] = _accounts[lost].unlock();
        emit RecoveryCancelled(lost, recovery.replacement);
    }

    // ---------------------------------------------------------------------------------------------------------------- admin

    /// @inheritdoc ISecurityToken
    function raiseAuthorisedAmount(uint256 authorised) external override restricted {
        uint256 current = _supply.authorised;
        if (authorised <= current) revert SecurityToken_NotRaised(current, authorised);
        _supply.authorised = _toUnits(authorised);
        emit AuthorisedAmountRaised(authorised);
    }

    /// @inheritdoc ISecurityToken
    function setLimits(uint256 admissionLimitPerDay, uint256 mintLimitPerDay) external override restricted {
        _setLimits(admissionLimitPerDay, mintLimitPerDay);
    }

    // -------------------------------------------------------------------------------------------------------------- holders

    /// @inheritdoc ERC20
    function transfer(address to, uint256 amount) public override(ERC20) returns (bool) {
        _gatedTransfer(msg.sender, to, amount);
        return true;
    }

    /// @inheritdoc ERC20
    function transferFrom(address from, address to, uint256 amount) public override(ERC20) returns (bool) {
        _spendAllowance(from, msg.sender, amount);
        _gatedTransfer(from, to, amount);
        return true;
    }

    // ---------------------------------------------------------------------------------------------------------- gate's views

    /// @inheritdoc IERC1404
    function detectTransferRestriction(address from, address to, uint256 amount)
        external
        view
        override
        returns (uint8)
    {
        return _restriction(_state, _accounts[from], _accounts[to], from, to, amount, false);
    }

    /// @inheritdoc IERC1404
    function messageForTransferRestriction(uint8 code) external pure override returns (string memory) {
        return Restriction.message(code);
    }

    /// @inheritdoc IERC7943Fungible
    function canTransfer(address from, address to, uint256 amount) external view override returns (bool) {
        return _restriction(_state, _accounts[from], _accounts[to], from, to, amount, true) == Restriction.NONE;
    }

    /// @inheritdoc IERC7943Fungible
    function canSend(address account) external view override returns (bool) {
        return _SBT.isEffective(account) && !_accounts[account].inRecovery();
    }

    /// @inheritdoc IERC7943Fungible
    function canReceive(address account) external view override returns (bool) {
        return _receiverRestriction(account, _accounts[account]) == Restriction.NONE;
    }

    /// @inheritdoc IERC7943Fungible
    function getFrozenTokens(address account) external view override returns (uint256) {
        return _accounts[account].frozen();
    }

    // ---------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IERC20
    function balanceOf(address account) public view override(ERC20) returns (uint256) {
        return _accounts[account].balance();
    }

    /// @inheritdoc IERC20
    function totalSupply() public view override(ERC20) returns (uint256) {
        return _supply.outstanding;
    }

    /// @inheritdoc IERC20Metadata
    function decimals() public view override(ERC20) returns (uint8) {
        return _DECIMALS;
    }

    /// @inheritdoc ISecurityToken
    function sbt() external view override returns (address) {
        return address(_SBT);
    }

    /// @inheritdoc ISecurityToken
    function terms() external view override returns (Terms memory) {
        return Terms({
            name: name(),
            symbol: symbol(),
            decimals: _DECIMALS,
            isin: _isin,
            currency: _currency,
            faceValueMinor: _FACE_VALUE_MINOR,
            rateBps: _RATE_BPS,
            issueAt: _ISSUE_AT,
            maturityAt: _MATURITY_AT,
            authorisedUnits: _supply.authorised,
            qiiOnly: _QII_ONLY,
            holderCap: _HOLDER_CAP,
            minimumLotUnits: _MINIMUM_LOT,
            wholeBalanceOnly: _WHOLE_BALANCE_ONLY,
            lockUpUntil: _LOCK_UP_UNTIL,
            documents: _documents
        });
    }

    /// @inheritdoc ISecurityToken
    function safeguards() external view override returns (Safeguards memory) {
        return Safeguards(_CONTROLLER_DELAY, _RECOVERY_DELAY, _admissions.limitPerDay(), _minting.limitPerDay());
    }

    /// @inheritdoc ISecurityToken
    function authorisedAmount() external view override returns (uint256) {
        return _supply.authorised;
    }

    /// @inheritdoc ISecurityToken
    function holderCount() external view override returns (uint256) {
        return _state.holders;
    }

    /// @inheritdoc ISecurityToken
    function paused() external view override returns (bool) {
        return _state.paused;
    }

    /// @inheritdoc ISecurityToken
    function admittedSbt(address holder) external view override returns (uint256) {
        return _accounts[holder].admittedSbt();
    }

    /// @inheritdoc ISecurityToken
    function isAdmitted(address holder) external view override returns (bool) {
        (, uint256 sbtId,) = _SBT.profileOf(holder);
        return sbtId != 0 && _accounts[holder].admittedSbt() == sbtId;
    }

    /// @inheritdoc ISecurityToken
    function unfrozenBalanceOf(address holder) external view override returns (uint256) {
        return _accounts[holder].unfrozen();
    }

    /// @inheritdoc ISecurityToken
    function recoveryOf(address lost) external view override returns (Recovery memory) {
        PendingRecovery memory pending = _recoveries[lost];
        return Recovery(pending.replacement, pending.executableAt, pending.replacementSbt, pending.objected);
    }

    /// @inheritdoc ISecurityToken
    function transferFreeze() external view override returns (uint48 from, uint48 until) {
        return (_state.freezeFrom, _state.freezeUntil);
    }

    /// @inheritdoc ISecurityToken
    function redeemedFrom(address holder) external view override returns (uint256) {
        return _redeemed[holder];
    }

    /// @inheritdoc ISecurityToken
    function admissionsRemaining() external view override returns (uint256) {
        return _admissions.remaining();
    }

    /// @inheritdoc ISecurityToken
    function mintRemaining() external view override returns (uint256) {
        return _minting.remaining();
    }

    /// @inheritdoc ISecurityToken
    function getDocument(string calldata documentName) external view override returns (Document memory) {
        uint256 latest = _latestDocument[keccak256(bytes(documentName))];
        if (latest == 0) revert SecurityToken_NoDocument();
        return _documents[latest - 1];
    }

    /// @inheritdoc ISecurityToken
    function documentCount() external view override returns (uint256) {
        return _documents.length;
    }

    /// @inheritdoc ISecurityToken
    function documentAt(uint256 index) external view override returns (Document memory) {
        if (index >= _documents.length) revert SecurityToken_NoDocument();
        return _documents[index];
    }

    /// @inheritdoc ERC165
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IERC7943Fungible).interfaceId || interfaceId == type(IERC1404).interfaceId
            || interfaceId == type(IERC20).interfaceId || interfaceId == type(IERC20Metadata).interfaceId
            || interfaceId == type(IERC20Permit).interfaceId || super.supportsInterface(interfaceId);
    }

    // ------------------------------------------------------------------------------------------------------------- the gate

    /// @dev The lowest code that applies, in the order of {Restriction}. `balanceAside`: as ERC-7943's `canTransfer` has it,
    /// an amount above the balance is not the rules' business, but one above the unfrozen part is.
    function _restriction(
        State memory state,
        AccountWord sender,
        AccountWord receiver,
        address from,
        address to,
        uint256 amount,
        bool balanceAside
    ) private view returns (uint8) {
        if (state.paused) return Restriction.PAUSED;
        if (from == address(0)) return Restriction.SENDER_INVALID;
        if (to == address(0) || to == from) return Restriction.RECEIVER_INVALID;
        uint256 parties = _SBT.readParties(from, to);
        // Both effective is the rule, so it is one comparison; uint8 and uint48 cut the fields out of the word.
        if (uint16(parties) != 0) {
            uint8 standing = uint8(parties);
            if (standing != Standing.EFFECTIVE) return Restriction.SENDER_STANDING + standing;
            return Restriction.RECEIVER_STANDING + uint8(parties >> 8);
        }
        if (receiver.admittedSbt() != uint48(parties >> 16)) return Restriction.RECEIVER_NOT_ADMITTED;
        uint256 balance = sender.balance();
        if (amount > balance && !balanceAside) return Restriction.ABOVE_BALANCE;
        if (sender.isHeld()) {
            if (amount > sender.unfrozen() && sender.frozen() != 0) return Restriction.ABOVE_UNFROZEN;
            if (sender.inRecovery()) return Restriction.SENDER_IN_RECOVERY;
        }
        return _policyRestriction(state, balance, receiver.balance(), amount, uint16(parties >> 64));
    }

    /// @dev The placement's own rules. They stand in immutables, so those an issue does not have cost next to nothing.
    function _policyRestriction(State memory state, uint256 sentFrom, uint256 held, uint256 amount, uint16 categories)
        private
        view
        returns (uint8)
    {
        if (block.timestamp < _LOCK_UP_UNTIL) return Restriction.LOCK_UP;
        if (block.timestamp < state.freezeUntil && block.timestamp >= state.freezeFrom) {
            return Restriction.RECORD_DATE_FREEZE;
        }
        if (_QII_ONLY && categories & Category.QUALIFIED_INSTITUTIONAL == 0) return Restriction.QII_ONLY;
        if (_HOLDER_CAP != 0 && amount != 0 && held == 0 && amount != sentFrom && state.holders >= _HOLDER_CAP) {
            return Restriction.HOLDER_CAP;
        }
        if (_MINIMUM_LOT > 1 && (_isOddLot(amount) || (amount < sentFrom && _isOddLot(sentFrom - amount)))) {
            return Restriction.MINIMUM_LOT;
        }
        if (_WHOLE_BALANCE_ONLY && amount != sentFrom) return Restriction.WHOLE_BALANCE_ONLY;
        return Restriction.NONE;
    }

    function _isOddLot(uint256 amount) private view returns (bool) {
        return amount != 0 && amount < _MINIMUM_LOT;
    }

    /// @dev Whether an address may receive at all, whatever the amount.
    function _receiverRestriction(address to, AccountWord receiver) private view returns (uint8) {
        (uint8 standing, uint256 sbtId, uint16 categories) = _SBT.profileOf(to);
        if (standing != Standing.EFFECTIVE) return Restriction.RECEIVER_STANDING + standing;
        if (receiver.admittedSbt() != sbtId) return Restriction.RECEIVER_NOT_ADMITTED;
        if (_QII_ONLY && categories & Category.QUALIFIED_INSTITUTIONAL == 0) return Restriction.QII_ONLY;
        return Restriction.NONE;
    }

    // ------------------------------------------------------------------------------------------------------------- movements

    function _gatedTransfer(address from, address to, uint256 amount) private {
        // Check: the very function the view answers with.
        State memory state = _state;
        AccountWord sender = _accounts[from];
        AccountWord receiver = _accounts[to];
        uint8 code = _restriction(state, sender, receiver, from, to, amount, false);
        if (code != Restriction.NONE) revert SecurityToken_Restricted(code);
        // Effect: the gate refuses from == to, so the two slots are different ones.
        _move(state, from, sender, to, receiver, amount);
    }

    /// @dev `from` and `to` differ; `amount` is at most the sender's balance.
    function _move(
        State memory state,
        address from,
        AccountWord sender,
        address to,
        AccountWord receiver,
        uint256 amount
    ) private {
        uint256 left = sender.balance() - amount;
        uint256 held = receiver.balance();
        _accounts[from] = sender.withBalance(left);
        _accounts[to] = receiver.withBalance(held + amount); // fits: the supply does
        bool leaves = amount != 0 && left == 0;
        bool joins = amount != 0 && held == 0;
        if (leaves != joins) _state.holders = joins ? state.holders + 1 : state.holders - 1;
        emit Transfer(from, to, amount);
    }

    /// @dev OpenZeppelin's hook for every change of balance. Only we call it, and only through our own functions; it is kept
    /// closed so that nothing inherited can move a unit past the gate.
    function _update(address, address, uint256) internal pure override {
        revert SecurityToken_Restricted(Restriction.SENDER_INVALID);
    }

    /// @dev Takes what is held by `from`, frozen or not, and gives it to `to`, whose admission is checked.
    function _forcedTransfer(address from, address to, uint256 amount) private {
        if (from == to || to == address(0)) revert SecurityToken_Restricted(Restriction.RECEIVER_INVALID);
        AccountWord receiver = _accounts[to];
        uint8 code = _receiverRestriction(to, receiver);
        if (code != Restriction.NONE) revert SecurityToken_Restricted(code);
        AccountWord sender = _thaw(from, _accounts[from], amount);
        _move(_state, from, sender, to, receiver, amount);
        emit ForcedTransfer(from, to, amount);
    }

    /// @dev Checks the balance, and lowers the frozen amount to what will be left if `amount` reaches into it (ERC-7943).
    function _thaw(address holder, AccountWord account, uint256 amount) private returns (AccountWord) {
        uint256 balance = account.balance();
        if (amount > balance) revert ERC20InsufficientBalance(holder, balance, amount);
        if (amount <= account.unfrozen()) return account;
        account = account.withFrozen(balance - amount);
        emit Frozen(holder, balance - amount);
        return account;
    }

    /// @dev Moves balance, frozen amount and admission of a lost wallet; it ends unlocked, dismissed and empty. If the lost
    /// wallet had been dismissed, the replacement must have been admitted on its own.
    function _carryOver(address lost, address replacement, uint256 sbtId) private returns (uint256 amount) {
        AccountWord sender = _accounts[lost].unlock();
        AccountWord receiver = _accounts[replacement];
        amount = sender.balance();
        uint256 frozen = sender.frozen();
        if (frozen != 0) {
            uint256 room = type(uint256).max - receiver.frozen();
            receiver = receiver.withFrozen(frozen > room ? type(uint256).max : receiver.frozen() + frozen);
            sender = sender.withFrozen(0);
            emit Frozen(lost, 0);
            emit Frozen(replacement, receiver.frozen());
        }
        uint256 admitted = sender.admittedSbt();
        if (receiver.admittedSbt() != sbtId) {
            if (admitted == 0) revert SecurityToken_Restricted(Restriction.RECEIVER_NOT_ADMITTED);
            receiver = receiver.withAdmittedSbt(sbtId);
            emit Admitted(replacement, sbtId);
        }
        if (admitted != 0) {
            sender = sender.withAdmittedSbt(0);
            emit Dismissed(lost, admitted);
        }
        _move(_state, lost, sender, replacement, receiver, amount);
    }

    /// @dev The checks and the credit of one mint, of an amount that is not zero; the caller accounts for the supply.
    function _issueTo(address to, uint256 amount) private returns (uint8) {
        State memory state = _state;
        if (state.paused) return Restriction.PAUSED;
        if (to == address(0)) return Restriction.RECEIVER_INVALID;
        if (block.timestamp >= _MATURITY_AT) revert SecurityToken_Matured(_MATURITY_AT);
        AccountWord receiver = _accounts[to];
        uint8 code = _receiverRestriction(to, receiver);
        if (code != Restriction.NONE) return code;
        uint256 held = receiver.balance();
        if (_HOLDER_CAP != 0 && held == 0 && state.holders >= _HOLDER_CAP) return Restriction.HOLDER_CAP;
        if (_isOddLot(amount)) return Restriction.MINIMUM_LOT;
        _credit(to, receiver, amount);
        return Restriction.NONE;
    }

    /// @dev `amount` is not zero. The sum may pass 96 bits only if the supply does, which the caller refuses.
    function _credit(address to, AccountWord receiver, uint256 amount) private {
        uint256 held = receiver.balance();
        _accounts[to] = receiver.withBalance(_toUnits(held + amount));
        if (held == 0) _state.holders++;
        emit Transfer(address(0), to, amount);
    }

    function _raiseSupply(uint256 amount) private {
        Supply memory supply = _supply;
        uint256 outstanding = supply.outstanding + amount;
        if (outstanding > supply.authorised) revert SecurityToken_AboveAuthorised(outstanding, supply.authorised);
        _supply.outstanding = uint96(outstanding); // fits: at most the authorised amount
    }

    /// @dev Redeemed units take their authorisation with them, or they could be minted again to somebody else.
    function _redeem(address holder, uint256 amount, bool early) private {
        _burnUnits(holder, amount);
        _redeemed[holder] += amount;
        uint96 authorised = _supply.authorised - uint96(amount); // fits: amount was a balance
        _supply.authorised = authorised;
        emit AuthorisedAmountLowered(authorised);
        emit Redeemed(holder, amount, early);
    }

    function _burnUnits(address holder, uint256 amount) private {
        if (amount == 0) revert SecurityToken_InvalidAmount(amount);
        AccountWord account = _thaw(holder, _accounts[holder], amount);
        uint256 left = account.balance() - amount;
        _accounts[holder] = account.withBalance(left);
        _supply.outstanding -= uint96(amount); // fits: amount is at most a balance
        if (left == 0) _state.holders--;
        emit Transfer(holder, address(0), amount);
    }

    // -------------------------------------------------------------------------------------------------------------- internal

    function _dismiss(address holder) private {
        AccountWord account = _accounts[holder];
        uint256 sbtId = account.admittedSbt();
        if (sbtId == 0) return;
        _accounts[holder] = account.withAdmittedSbt(0);
        emit Dismissed(holder, sbtId);
    }

    function _checkController() private {
        IAccessManager manager = IAccessManager(authority());
        (bool immediate, uint32 delay) =
            AuthorityUtils.canCallWithDelay(address(manager), msg.sender, address(this), msg.sig);
        // Through the manager's `execute` the caller is the manager and nobody can say who waited: refused as well.
        if (immediate || (delay != 0 && delay < _CONTROLLER_DELAY)) {
            revert SecurityToken_ControllerDelayTooShort(delay, _CONTROLLER_DELAY);
        }
        if (delay != 0) {
            uint64 role = manager.getTargetFunctionRole(address(this), msg.sig);
            (uint48 since,,,) = manager.getAccess(role, msg.sender);
            uint48 scheduled = manager.getSchedule(manager.hashOperation(msg.sender, address(this), msg.data));
            // Zero: not scheduled or expired, which `_checkCanCall` names better.
            if (scheduled != 0 && scheduled < since + _CONTROLLER_DELAY) {
                revert SecurityToken_ControllerTooNew(since, scheduled);
            }
        }
        _checkCanCall(msg.sender, msg.data);
    }

    function _checkTerms(address sbt_, Terms memory terms_, Safeguards memory safeguards_) private view {
        bool valid = sbt_.code.length != 0 && bytes(terms_.name).length != 0 && bytes(terms_.symbol).length != 0
            && terms_.decimals <= 18 && terms_.authorisedUnits != 0 && terms_.authorisedUnits < AccountWords.MAX_UNITS
            && terms_.minimumLotUnits != 0 && terms_.minimumLotUnits <= terms_.authorisedUnits
            && terms_.issueAt < terms_.maturityAt && terms_.lockUpUntil <= terms_.maturityAt
            && safeguards_.controllerDelay != 0 && safeguards_.controllerDelay <= MAX_DELAY
            && safeguards_.recoveryDelay != 0 && safeguards_.recoveryDelay <= MAX_DELAY;
        if (!valid) revert SecurityToken_InvalidTerms();
    }

    function _setLimits(uint256 admissionLimitPerDay, uint256 mintLimitPerDay) private {
        bool valid = admissionLimitPerDay >= 2 && admissionLimitPerDay <= MAX_ADMISSION_LIMIT && mintLimitPerDay >= 2
            && mintLimitPerDay <= 2 * AccountWords.MAX_UNITS;
        if (!valid) revert SecurityToken_InvalidTerms();
        _admissions.set(admissionLimitPerDay);
        _minting.set(mintLimitPerDay);
        emit LimitsSet(admissionLimitPerDay, mintLimitPerDay);
    }

    function _record(Document memory document) private {
        uint256 index = _documents.length;
        _documents.push(document);
        _latestDocument[keccak256(bytes(document.name))] = index + 1;
        emit DocumentRecorded(index, document.name, document.uri, document.hash);
    }

    /// @dev One below the highest stays free: it means "everything" where amounts are frozen.
    function _toUnits(uint256 amount) private pure returns (uint96) {
        if (amount >= AccountWords.MAX_UNITS) revert SecurityToken_InvalidAmount(amount);
        return uint96(amount);
    }
}
