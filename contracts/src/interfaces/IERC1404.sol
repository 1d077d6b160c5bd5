// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ERC-1404: simple restricted token
interface IERC1404 {
    /// @notice 0 when the transfer would succeed, else the code of the first rule it breaks.
    function detectTransferRestriction(address from, address to, uint256 amount) external view returns (uint8);

    /// @notice A short English sentence for a code.
    function messageForTransferRestriction(uint8 code) external view returns (string memory);
}
