// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICollateralVault} from "./interfaces/ICollateralVault.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title The deposit address of one account of the CollateralVault
/// @notice An address without a key: what it is paid is credited to its account in the vault at once, with the payer's
/// address. It can do nothing else with ETH, whoever calls it.
/// @dev A minimal clone per account (OpenZeppelin Clones), whose code carries the account's id.
contract DepositForwarder {
    using SafeERC20 for IERC20;

    ICollateralVault private immutable _VAULT;

    constructor() {
        _VAULT = ICollateralVault(msg.sender);
    }

    /// @notice Passes the payment on. A transaction that carries only 21,000 gas, or the 2,300 of Solidity's `transfer`, runs
    /// out of it, and the payer keeps the money.
    receive() external payable {
        _VAULT.depositFrom{value: msg.value}(account(), msg.sender);
    }

    /// @notice Passes on what is here without having been received: from before there was code, or put here by force.
    function sweep() external {
        _VAULT.depositFrom{value: address(this).balance}(account(), address(0));
    }

    /// @notice Sends tokens that were paid here by mistake to the borrower's registered address. They never are collateral.
    function returnToken(IERC20 token) external {
        token.safeTransfer(_VAULT.borrowerOf(account()), token.balanceOf(address(this)));
    }

    /// @notice The account this address belongs to.
    function account() public view returns (bytes32) {
        return abi.decode(Clones.fetchCloneArgs(address(this)), (bytes32));
    }
}
