// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What an address's SBT is worth right now
/// @dev The numbers are shared with the portal (`chain/types.py: Standing`) and must not change.
library Standing {
    uint8 internal constant EFFECTIVE = 0;
    uint8 internal constant NONE = 1;
    uint8 internal constant PENDING = 2;
    uint8 internal constant EXPIRED = 3;
    uint8 internal constant SUSPENDED = 4;
    uint8 internal constant ISSUER_DISTRUSTED = 5;
    uint8 internal constant ATTESTOR_DISTRUSTED = 6;
}

/// @title Bits of an SBT's category flags
/// @dev Shared with the portal (`chain/types.py: Category`).
library Category {
    uint16 internal constant INDIVIDUAL = 1;
    uint16 internal constant CORPORATE = 2;
    uint16 internal constant QUALIFIED_INSTITUTIONAL = 4;
}
