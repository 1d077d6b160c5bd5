// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ERC-5192: minimal soulbound NFTs
interface IERC5192 {
    /// @notice Emitted when a token becomes locked for good.
    event Locked(uint256 tokenId);

    /// @notice Emitted when a token becomes transferable (never, here).
    event Unlocked(uint256 tokenId);

    /// @notice Whether the token cannot be transferred. Reverts for a token that does not exist.
    function locked(uint256 tokenId) external view returns (bool);
}
