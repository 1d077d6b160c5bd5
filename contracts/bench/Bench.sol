// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev What we measure against, in the same run: OpenZeppelin's ERC-20 as it is, with nothing but a mint.
contract PlainToken is ERC20("Plain", "PLAIN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function mintBatch(address[] calldata to, uint256 amount) external {
        for (uint256 i = 0; i < to.length; ++i) {
            _mint(to[i], amount);
        }
    }
}

/// @dev The least an SBT can be: one flag per address, set by one key.
contract FloorSBT {
    event Issued(address indexed holder);

    address private immutable _issuer = msg.sender;
    mapping(address holder => bool) public holds;

    function issue(address holder) external {
        require(msg.sender == _issuer);
        holds[holder] = true;
        emit Issued(holder);
    }
}

/// @dev The least a gated token can be: both sides hold that SBT. No admission, expiry, freeze, pause, distrust or policy.
contract FloorToken is ERC20("Floor", "FLOOR") {
    FloorSBT private immutable _sbt;

    constructor(FloorSBT sbt) {
        _sbt = sbt;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function mintBatch(address[] calldata to, uint256 amount) external {
        for (uint256 i = 0; i < to.length; ++i) {
            _mint(to[i], amount);
        }
    }

    function allowed(address from, address to, uint256) external view returns (bool) {
        return _sbt.holds(from) && _sbt.holds(to);
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(from == address(0) || _sbt.holds(from));
        require(to == address(0) || _sbt.holds(to));
        super._update(from, to, amount);
    }
}

/// @dev Gas of one call from a contract, everything cold: 2,600 for the target's address are in it, the 21,000 of a
/// transaction are not.
contract Meter {
    function measure(address target, bytes calldata data) external view returns (uint256 used) {
        uint256 before = gasleft();
        (bool ok,) = target.staticcall(data);
        used = before - gasleft();
        require(ok);
    }
}
