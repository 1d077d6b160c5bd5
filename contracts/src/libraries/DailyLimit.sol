// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";

/// @title At most `limit` within any 24 hours
/// @dev A bucket of capacity c that refills c a day lets 2c through in the worst 24 hours, so a limit L gets a bucket of L / 2:
///      half at once, the rest as it refills. There is no window whose edge could be straddled.
library DailyLimit {
    using RateLimiter for RateLimiter.RefillingBucket;

    uint48 private constant WINDOW = 1 days;
    bytes32 private constant KEY = 0;

    /// @dev `limit` must be at least 2. Keeps what was already used, at the old rate up to now.
    function set(RateLimiter.RefillingBucket storage self, uint256 limit) internal {
        self.sync(KEY);
        self.updateSettings(WINDOW, uint208(limit / 2)); // callers bound the limit far below 2^208
    }

    function limitPerDay(RateLimiter.RefillingBucket storage self) internal view returns (uint256) {
        return uint256(self._capacity) * 2;
    }

    function remaining(RateLimiter.RefillingBucket storage self) internal view returns (uint256) {
        return self.available(KEY);
    }

    /// @dev Reverts with RateLimitExceeded.
    function consume(RateLimiter.RefillingBucket storage self, uint256 quantity) internal {
        self.consume(KEY, quantity);
    }
}
