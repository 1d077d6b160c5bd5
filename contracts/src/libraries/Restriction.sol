// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Why a transfer is refused (ERC-1404 codes)
/// @dev The numbers are shared with the portal (`chain/types.py: Restriction`) and must not change. The code given is always
///      the lowest one that applies. Sender's SBT: 10 + standing. Receiver's SBT: 20 + standing.
library Restriction {
    uint8 internal constant NONE = 0;
    uint8 internal constant PAUSED = 1;
    uint8 internal constant SENDER_INVALID = 2;
    uint8 internal constant RECEIVER_INVALID = 3;
    uint8 internal constant SENDER_STANDING = 10;
    uint8 internal constant RECEIVER_STANDING = 20;
    uint8 internal constant RECEIVER_NOT_ADMITTED = 30;
    uint8 internal constant ABOVE_BALANCE = 31;
    uint8 internal constant ABOVE_UNFROZEN = 32;
    uint8 internal constant SENDER_IN_RECOVERY = 33;
    uint8 internal constant LOCK_UP = 40;
    uint8 internal constant RECORD_DATE_FREEZE = 41;
    uint8 internal constant QII_ONLY = 42;
    uint8 internal constant HOLDER_CAP = 43;
    uint8 internal constant MINIMUM_LOT = 44;
    uint8 internal constant WHOLE_BALANCE_ONLY = 45;

    /// @notice A short English sentence for `code`.
    function message(uint8 code) internal pure returns (string memory) {
        if (code == NONE) return "No restriction";
        if (code == PAUSED) return "The security is paused";
        if (code == SENDER_INVALID) return "The sender is not a holder's address";
        if (code == RECEIVER_INVALID) return "The recipient is the zero address or the sender";
        if (code > SENDER_STANDING && code <= SENDER_STANDING + 6) {
            return string.concat("The sender's ", _standing(code - SENDER_STANDING));
        }
        if (code > RECEIVER_STANDING && code <= RECEIVER_STANDING + 6) {
            return string.concat("The recipient's ", _standing(code - RECEIVER_STANDING));
        }
        if (code == RECEIVER_NOT_ADMITTED) return "The recipient is not admitted to this security";
        if (code == ABOVE_BALANCE) return "The amount is above the balance";
        if (code == ABOVE_UNFROZEN) return "The amount is above the part that is not frozen";
        if (code == SENDER_IN_RECOVERY) return "The sender's wallet is locked by a recovery";
        if (code == LOCK_UP) return "The lock-up has not ended";
        if (code == RECORD_DATE_FREEZE) return "Transfers are closed around the record date";
        if (code == QII_ONLY) return "Only qualified institutional investors may receive";
        if (code == HOLDER_CAP) return "The highest number of holders is reached";
        if (code == MINIMUM_LOT) return "The amount, or what is left, is below the minimum lot";
        if (code == WHOLE_BALANCE_ONLY) return "Only the whole balance may be transferred";
        return "Unknown restriction code";
    }

    function _standing(uint8 standing) private pure returns (string memory) {
        if (standing == 1) return "address has no SBT";
        if (standing == 2) return "SBT is not active yet";
        if (standing == 3) return "SBT has expired";
        if (standing == 4) return "SBT is suspended";
        if (standing == 5) return "SBT was issued by a key that is no longer trusted";
        return "SBT was attested by a key that is no longer trusted";
    }
}
