// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

/// @title AccessManaged whose manager can never be swapped
/// @notice Who may do what can change inside the manager, with its delays and the council's veto; that there is such a manager
/// cannot. It also saves every restricted call a storage read.
abstract contract FixedAuthority is AccessManaged {
    address private immutable _MANAGER;

    /// @notice The AccessManager of this contract is fixed.
    error FixedAuthority_CannotChange();

    /// @notice The manager must be a contract.
    error FixedAuthority_InvalidManager(address manager);

    constructor(address manager) AccessManaged(manager) {
        if (manager.code.length == 0) revert FixedAuthority_InvalidManager(manager);
        _MANAGER = manager;
    }

    /// @inheritdoc AccessManaged
    function authority() public view override returns (address) {
        return _MANAGER;
    }

    /// @inheritdoc AccessManaged
    function setAuthority(address) public pure override {
        revert FixedAuthority_CannotChange();
    }
}
