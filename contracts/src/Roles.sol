// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The roles of the AccessManager, by number
/// @dev ADMIN is OpenZeppelin's own; a function nobody was given to belongs to it.
library Roles {
    uint64 internal constant ADMIN = 0;
    uint64 internal constant SBT_ISSUER = 1;
    uint64 internal constant ATTESTOR = 2;
    uint64 internal constant SBT_GUARDIAN = 3;
    uint64 internal constant TOKEN_AGENT = 4;
    uint64 internal constant TOKEN_CONTROLLER = 5;
    uint64 internal constant TOKEN_GUARDIAN = 6;
    uint64 internal constant COUNCIL = 7;
    /// @dev The manager's own functions. It has no members; its guardian, the council, may cancel what an admin scheduled.
    uint64 internal constant MANAGEMENT = 8;
    /// @dev Proposes and makes releases of collateral to its borrower, and carries out recorded sales.
    uint64 internal constant COLLATERAL_AGENT = 9;
    /// @dev Records what may be sold; moves nothing.
    uint64 internal constant SALE_RECORDER = 10;
}
