// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AggregatorV3Interface} from "../src/interfaces/AggregatorV3Interface.sol";

/// @title A simulator of a Chainlink price feed, for the demo and for tests
/// @notice Says whatever its owner tells it, nonsense included, so that the price rules can be tried: nothing that is worth
/// money may ask it. Never deployed by the production profile.
contract DemoPriceFeed is AggregatorV3Interface {
    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    address public immutable owner;
    uint8 public immutable override decimals;
    uint256 public constant override version = 0;
    string public override description;
    Round[] private _rounds;

    /// @notice Chainlink's own event for a new answer.
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @notice Only the owner tells the price.
    error DemoPriceFeed_NotTheOwner(address caller);

    /// @notice There is no such round.
    error DemoPriceFeed_NoData(uint80 roundId);

    constructor(uint8 decimals_, string memory description_, address owner_) {
        (decimals, description, owner) = (decimals_, description_, owner_);
    }

    /// @notice The next round's answer, as of `updatedAt`; zero: now. Any answer, any time: a broken feed is simulated too.
    function set(int256 answer, uint256 updatedAt) external {
        if (msg.sender != owner) revert DemoPriceFeed_NotTheOwner(msg.sender);
        if (updatedAt == 0) updatedAt = block.timestamp;
        _rounds.push(Round(answer, updatedAt));
        emit AnswerUpdated(answer, _rounds.length, updatedAt);
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData() external view override returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(uint80(_rounds.length));
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 roundId)
        public
        view
        override
        returns (uint80, int256 answer, uint256 startedAt, uint256 updatedAt, uint80)
    {
        if (roundId == 0 || roundId > _rounds.length) revert DemoPriceFeed_NoData(roundId);
        Round memory round = _rounds[roundId - 1];
        return (roundId, round.answer, round.updatedAt, round.updatedAt, roundId);
    }
}
