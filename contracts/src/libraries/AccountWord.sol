// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title One holder of one security in one storage slot
/// @dev Balance, freeze, admission and recovery lock are read together on every transfer, so they stand together: a transfer
///      touches one slot per side, and a first-time holder's slot is already warm from admission. From the lowest bit:
///      balance 96 · frozen 96 · admitted SBT id 48 · in recovery 1.
///      A frozen amount of 2^96 - 1 stands for "everything, whatever the balance" and reads as `type(uint256).max`.
type AccountWord is uint256;

using AccountWords for AccountWord global;

library AccountWords {
    uint256 internal constant MAX_UNITS = type(uint96).max;
    uint256 private constant IN_RECOVERY = 1 << 240;

    function balance(AccountWord word) internal pure returns (uint256) {
        return uint96(AccountWord.unwrap(word));
    }

    /// @dev `units` must be at most MAX_UNITS; supply is bounded by it.
    function withBalance(AccountWord word, uint256 units) internal pure returns (AccountWord) {
        return AccountWord.wrap(AccountWord.unwrap(word) & ~MAX_UNITS | units);
    }

    function frozen(AccountWord word) internal pure returns (uint256 units) {
        units = uint96(AccountWord.unwrap(word) >> 96);
        if (units == MAX_UNITS) units = type(uint256).max;
    }

    /// @dev Anything from MAX_UNITS up freezes everything for good: no balance can ever be above it.
    function withFrozen(AccountWord word, uint256 units) internal pure returns (AccountWord) {
        if (units > MAX_UNITS) units = MAX_UNITS;
        return AccountWord.wrap(AccountWord.unwrap(word) & ~(MAX_UNITS << 96) | units << 96);
    }

    /// @dev max(balance - frozen, 0), as ERC-7943 has it.
    function unfrozen(AccountWord word) internal pure returns (uint256) {
        uint256 has = balance(word);
        uint256 held = uint96(AccountWord.unwrap(word) >> 96);
        unchecked {
            return has > held ? has - held : 0; // no underflow: just compared
        }
    }

    /// @dev Whether anything at all holds the balance back: one test for what is rarely so.
    function isHeld(AccountWord word) internal pure returns (bool) {
        return AccountWord.unwrap(word) & (MAX_UNITS << 96 | IN_RECOVERY) != 0;
    }

    function admittedSbt(AccountWord word) internal pure returns (uint256) {
        return uint48(AccountWord.unwrap(word) >> 192);
    }

    function withAdmittedSbt(AccountWord word, uint256 sbtId) internal pure returns (AccountWord) {
        return AccountWord.wrap(AccountWord.unwrap(word) & ~(uint256(type(uint48).max) << 192) | sbtId << 192);
    }

    function inRecovery(AccountWord word) internal pure returns (bool) {
        return AccountWord.unwrap(word) & IN_RECOVERY != 0;
    }

    function lock(AccountWord word) internal pure returns (AccountWord) {
        return AccountWord.wrap(AccountWord.unwrap(word) | IN_RECOVERY);
    }

    function unlock(AccountWord word) internal pure returns (AccountWord) {
        return AccountWord.wrap(AccountWord.unwrap(word) & ~IN_RECOVERY);
    }
}
