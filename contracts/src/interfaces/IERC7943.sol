// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ERC-7943 (uRWA, final), fungible tokens. Interface id 0x3edbb4c4.
/// @dev IERC165 is not inherited here so that `type(...).interfaceId` covers these six functions only, as the standard says.
interface IERC7943Fungible {
    /// @notice Emitted after tokens were moved by an authority.
    event ForcedTransfer(address indexed from, address indexed to, uint256 amount);

    /// @notice Emitted when the frozen amount of an account changed; `amount` is the new total.
    event Frozen(address indexed account, uint256 amount);

    /// @notice The account may not send.
    error ERC7943CannotSend(address account);

    /// @notice The account may not receive.
    error ERC7943CannotReceive(address account);

    /// @notice The transfer breaks a rule.
    error ERC7943CannotTransfer(address from, address to, uint256 amount);

    /// @notice More was asked for than is unfrozen.
    error ERC7943InsufficientUnfrozenBalance(address account, uint256 amount, uint256 unfrozen);

    /// @notice Moves tokens by authority, frozen ones too.
    function forcedTransfer(address from, address to, uint256 amount) external returns (bool result);

    /// @notice Sets the frozen amount of an account; may be above its balance.
    function setFrozenTokens(address account, uint256 amount) external returns (bool result);

    /// @notice Whether the account may send at all. Never reverts.
    function canSend(address account) external view returns (bool allowed);

    /// @notice Whether the account may receive at all. Never reverts.
    function canReceive(address account) external view returns (bool allowed);

    /// @notice The frozen amount; may be above the balance.
    function getFrozenTokens(address account) external view returns (uint256 amount);

    /// @notice Whether the rules allow the transfer, leaving balance and allowance aside.
    function canTransfer(address from, address to, uint256 amount) external view returns (bool allowed);
}
