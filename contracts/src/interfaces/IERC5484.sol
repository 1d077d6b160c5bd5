// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ERC-5484: consensual soulbound tokens
interface IERC5484 {
    /// @notice Who may burn the token.
    enum BurnAuth {
        IssuerOnly,
        OwnerOnly,
        Both,
        Neither
    }

    /// @notice Emitted when a soulbound token is issued.
    event Issued(address indexed from, address indexed to, uint256 indexed tokenId, BurnAuth burnAuth);

    /// @notice Who may burn this token. Reverts for a token that does not exist.
    function burnAuth(uint256 tokenId) external view returns (BurnAuth);
}
