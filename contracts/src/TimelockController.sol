// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// OpenZeppelin's timelock holds ADMIN and is deployed as it is; imported so that its bytecode comes from the same compiler as ours.
// forge-lint: disable-next-line(unused-import)
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
