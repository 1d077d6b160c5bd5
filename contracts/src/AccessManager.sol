// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// OpenZeppelin's manager is deployed as it is; it is imported so that its bytecode comes from the same compiler as ours.
// forge-lint: disable-next-line(unused-import)
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
