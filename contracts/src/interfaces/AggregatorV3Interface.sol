// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What a Chainlink price feed answers
/// @dev As published by Chainlink (docs.chain.link, "Data Feeds API Reference"); the signatures and their order are theirs.
interface AggregatorV3Interface {
    /// @notice How many decimals `answer` has.
    function decimals() external view returns (uint8);

    /// @notice What is priced, e.g. "ETH / USD".
    function description() external view returns (string memory);

    /// @notice Version of the aggregator.
    function version() external view returns (uint256);

    /// @notice One round by its number; reverts for one there is not.
    function getRoundData(uint80 roundId_)
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);

    /// @notice The newest round; reverts before the first.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
