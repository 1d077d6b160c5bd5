// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecurityToken} from "../../src/SecurityToken.sol";
import {ISecurityToken} from "../../src/interfaces/ISecurityToken.sol";

interface SymbolicVm {
    function assume(bool condition) external pure;
    function load(address target, bytes32 slot) external view returns (bytes32);
    function prank(address sender) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function warp(uint256 timestamp) external;
}

/// @dev A manager that lets everybody do everything: the worst there can be.
contract PermissiveManager {
    function canCall(address, address, bytes4) external pure returns (bool, uint32) {
        return (false, 1 days);
    }

    function consumeScheduledOp(address, bytes calldata) external pure {}

    function isConsumingScheduledOp() external pure returns (bytes4) {
        return this.isConsumingScheduledOp.selector;
    }

    function getTargetFunctionRole(address, bytes4) external pure returns (uint64) {
        return 5;
    }

    function getAccess(uint64, address) external pure returns (uint48, uint32, uint32, uint48) {
        return (0, 1 days, 0, 0);
    }

    function getSchedule(bytes32) external pure returns (uint48) {
        return type(uint48).max;
    }

    function hashOperation(address, address, bytes calldata) external pure returns (bytes32) {
        return 0;
    }
}

/// @dev An SBT contract that answers whatever it was told.
contract AnySbt {
    struct Answer {
        uint8 standing;
        uint48 id;
        uint16 categories;
    }

    mapping(address holder => Answer) public answers;

    function set(address holder, uint8 standing, uint48 id, uint16 categories) external {
        answers[holder] = Answer(standing, id, categories);
    }

    function profileOf(address holder) external view returns (uint8, uint256, uint16) {
        Answer memory a = answers[holder];
        return (a.standing, a.id, a.categories);
    }

    function readParties(address from, address to) external view returns (uint256) {
        Answer memory a = answers[to];
        return uint256(answers[from].standing) | uint256(a.standing) << 8 | uint256(a.id) << 16
            | uint256(a.categories) << 64;
    }

    function isEffective(address holder) external view returns (bool) {
        return answers[holder].standing == 0;
    }
}

/// @dev Proved by halmos (`make prove`) for every state of the accounts, every answer of the SBT contract and every amount, with
/// every caller allowed everything. Forge leaves `check_` alone. Slots are those of `forge inspect SecurityToken storageLayout`;
/// `test_TheSlotsAreWhereTheProofsLook` holds them.
contract SymbolicTest {
    SymbolicVm private constant vm = SymbolicVm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_TEST = true;
    uint256 private constant SUPPLY_SLOT = 10;
    uint256 private constant ACCOUNTS_SLOT = 11;
    uint256 private constant RECOVERIES_SLOT = 12;
    uint256 private constant REDEEMED_SLOT = 13;
    address private constant FROM = address(0xF0);
    address private constant TO = address(0x70);
    address private constant OTHER = address(0x07);

    SecurityToken private _token;
    AnySbt private _sbt;

    function setUp() public {
        vm.warp(1_800_000_000);
        _sbt = new AnySbt();
        ISecurityToken.Terms memory terms;
        (terms.name, terms.symbol, terms.isin, terms.currency) = ("Bond", "B", "JP", "JPY");
        (terms.issueAt, terms.maturityAt) = (1_800_000_000, 1_900_000_000);
        (terms.authorisedUnits, terms.minimumLotUnits) = (1_000_000, 1);
        _token = new SecurityToken(
            address(new PermissiveManager()),
            address(_sbt),
            terms,
            ISecurityToken.Safeguards(1 days, 1 days, 1000, 2_000_000)
        );
    }

    function test_TheSlotsAreWhereTheProofsLook() public {
        vm.store(address(_token), _account(FROM), bytes32(uint256(77) | uint256(11) << 96 | uint256(5) << 192));
        vm.store(address(_token), bytes32(SUPPLY_SLOT), bytes32(uint256(77) | uint256(99) << 96));
        assert(_token.balanceOf(FROM) == 77 && _token.getFrozenTokens(FROM) == 11 && _token.admittedSbt(FROM) == 5);
        assert(_token.totalSupply() == 77 && _token.authorisedAmount() == 99);
        vm.store(address(_token), keccak256(abi.encode(FROM, REDEEMED_SLOT)), bytes32(uint256(3)));
        assert(_token.redeemedFrom(FROM) == 3);
        vm.store(address(_token), keccak256(abi.encode(FROM, RECOVERIES_SLOT)), bytes32(uint256(uint160(TO)) | uint256(7) << 160));
        assert(_token.recoveryOf(FROM).replacement == TO && _token.recoveryOf(FROM).executableAt == 7);
        _sbt.set(FROM, 0, 5, 1);
        assert(_token.canSend(FROM));
        vm.store(address(_token), _account(FROM), bytes32(uint256(1) << 240));
        assert(!_token.canSend(FROM)); // locked
    }

    // ------------------------------------------------------------------------------------- conservation, and the admission

    function check_TransferConservesAndAsksTheSbt(uint256 a, uint256 b, uint256 c, uint256 amount) public {
        _anyState(a, b, c);
        vm.prank(FROM);
        try _token.transfer(TO, amount) {
            _moved(amount, a, b, c);
            assert(_standing(FROM) == 0);
            assert(_frozenRespected(a, amount));
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_TransferFromConservesAndAsksTheSbt(uint256 a, uint256 b, uint256 c, uint256 amount, uint256 allowed)
        public
    {
        _anyState(a, b, c);
        vm.prank(FROM);
        _token.approve(OTHER, allowed);
        vm.prank(OTHER);
        try _token.transferFrom(FROM, TO, amount) {
            assert(amount <= allowed);
            _moved(amount, a, b, c);
            assert(_standing(FROM) == 0);
            assert(_frozenRespected(a, amount));
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_ForcedTransferConservesAndAsksTheReceiversSbt(uint256 a, uint256 b, uint256 c, uint256 amount)
        public
    {
        _anyState(a, b, c);
        try _token.forcedTransfer(FROM, TO, amount) returns (bool) {
            _moved(amount, a, b, c);
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_RecoverConservesAndAsksTheReplacementsSbt(uint256 a, uint256 b, uint256 c, uint256 pending) public {
        _anyState(a, b, c);
        vm.store(address(_token), keccak256(abi.encode(FROM, RECOVERIES_SLOT)), bytes32(pending));
        try _token.recover(FROM, TO) {
            assert(_token.balanceOf(FROM) == 0);
            _moved(uint96(a), a, b, c);
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_MintRaisesSupplyByWhatItGivesAndAsksTheSbt(uint256 b, uint256 c, uint256 amount) public {
        _anyState(0, b, c);
        uint256 supply = _token.totalSupply();
        try _token.mint(TO, amount) {
            assert(_token.balanceOf(TO) == uint96(b) + amount);
            assert(_token.totalSupply() == supply + amount);
            assert(_token.totalSupply() <= _token.authorisedAmount());
            assert(_token.balanceOf(OTHER) == uint96(c));
            assert(_standing(TO) == 0 && _admitted());
        } catch {
            _nothingMoved(0, b, c);
            assert(_token.totalSupply() == supply);
        }
    }

    function check_BurnLowersSupplyByWhatItTakes(uint256 a, uint256 b, uint256 c, uint256 amount) public {
        _anyState(a, b, c);
        uint256 supply = _token.totalSupply();
        try _token.burn(FROM, amount, "reason") {
            assert(_token.balanceOf(FROM) == uint96(a) - amount);
            assert(_token.totalSupply() == supply - amount);
            assert(_token.balanceOf(TO) == uint96(b) && _token.balanceOf(OTHER) == uint96(c));
        } catch {
            _nothingMoved(a, b, c);
            assert(_token.totalSupply() == supply);
        }
    }

    function check_RedeemingEarlyLowersSupplyAndAuthorisedAlike(uint256 a, uint256 b, uint256 c, uint256 amount) public {
        _anyState(a, b, c);
        uint256 supply = _token.totalSupply();
        uint256 authorised = _token.authorisedAmount();
        try _token.redeemEarly(FROM, amount) {
            assert(_token.balanceOf(FROM) == uint96(a) - amount);
            assert(_token.totalSupply() == supply - amount && _token.authorisedAmount() == authorised - amount);
            assert(_token.balanceOf(TO) == uint96(b) && _token.balanceOf(OTHER) == uint96(c));
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_ReversingARedemptionGivesBackNoMoreThanWasTaken(uint256 a, uint256 b, uint256 c, uint256 amount, uint96 redeemed)
        public
    {
        _anyState(a, b, c);
        vm.store(address(_token), keccak256(abi.encode(FROM, REDEEMED_SLOT)), bytes32(uint256(redeemed)));
        uint256 supply = _token.totalSupply();
        try _token.reverseRedemption(FROM, amount, "reason") {
            assert(amount <= redeemed && _token.redeemedFrom(FROM) == redeemed - amount);
            assert(_token.balanceOf(FROM) == uint96(a) + amount);
            assert(_token.totalSupply() == supply + amount);
            assert(_token.balanceOf(TO) == uint96(b) && _token.balanceOf(OTHER) == uint96(c));
        } catch {
            _nothingMoved(a, b, c);
        }
    }

    function check_AdmittingFreezingPausingMoveNothing(uint256 a, uint256 b, uint256 c, uint256 amount, uint8 kind) public {
        _anyState(a, b, c);
        address[] memory list = new address[](1);
        list[0] = FROM;
        bytes memory data = abi.encodeCall(_token.admit, (list));
        if (kind == 1) data = abi.encodeCall(_token.dismiss, (list));
        if (kind == 2) data = abi.encodeCall(_token.freeze, (FROM, amount));
        if (kind == 3) data = abi.encodeCall(_token.setFrozenTokens, (FROM, amount));
        if (kind == 4) data = abi.encodeCall(_token.pause, ());
        if (kind == 5) data = abi.encodeCall(_token.raiseAuthorisedAmount, (amount));
        if (kind == 6) data = abi.encodeCall(_token.cancelRecovery, (FROM));
        uint256 supply = _token.totalSupply();
        (bool ok,) = address(_token).call(data);
        ok; // either way
        _nothingMoved(a, b, c);
        assert(_token.totalSupply() == supply);
    }

    function check_TheViewSaysZeroIfAndOnlyIfTheTransferSucceeds(uint256 a, uint256 b, uint256 amount) public {
        _anyState(a, b, 0);
        uint8 code = _token.detectTransferRestriction(FROM, TO, amount);
        vm.prank(FROM);
        try _token.transfer(TO, amount) {
            assert(code == 0);
        } catch (bytes memory reason) {
            assert(code != 0);
            assert(
                keccak256(reason)
                    == keccak256(abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, code))
            );
        }
    }

    // ------------------------------------------------------------------------------------------------------------ helpers

    /// @dev Every balance, freeze, admission and lock of three accounts that together own no more than the supply, and every
    /// answer of the SBT contract: the words' upper bits, which a state never uses for the latter, carry it.
    function _anyState(uint256 a, uint256 b, uint256 c) private {
        uint256 sum = uint256(uint96(a)) + uint96(b) + uint96(c);
        vm.assume(sum < type(uint96).max);
        _store(FROM, a);
        _store(TO, b);
        _store(OTHER, c);
        uint256 supply = uint256(vm.load(address(_token), bytes32(SUPPLY_SLOT)));
        uint256 authorised = supply >> 96;
        if (sum > authorised) authorised = sum;
        vm.store(address(_token), bytes32(SUPPLY_SLOT), bytes32(sum | authorised << 96));
        // Who holds, is counted.
        uint256 holders = (uint96(a) == 0 ? 0 : 1) + (uint96(b) == 0 ? 0 : 1) + (uint96(c) == 0 ? 0 : 1);
        vm.store(address(_token), bytes32(uint256(9)), bytes32(holders << 8));
        _sbt.set(FROM, uint8(a >> 248) % 7, 1, 1);
        _sbt.set(TO, uint8(b >> 248) % 7, uint48(c >> 200), uint16(c >> 160));
    }

    function _store(address holder, uint256 word) private {
        // 241 bits are in use.
        vm.store(address(_token), _account(holder), bytes32(word & ((1 << 241) - 1)));
    }

    function _account(address holder) private pure returns (bytes32) {
        return keccak256(abi.encode(holder, ACCOUNTS_SLOT));
    }

    function _moved(uint256 amount, uint256 a, uint256 b, uint256 c) private view {
        assert(amount <= uint96(a));
        assert(_token.balanceOf(FROM) == uint96(a) - amount);
        assert(_token.balanceOf(TO) == uint96(b) + amount);
        assert(_token.balanceOf(OTHER) == uint96(c));
        assert(_token.totalSupply() == uint256(uint96(a)) + uint96(b) + uint96(c));
        assert(_standing(TO) == 0 && _admitted());
    }

    function _nothingMoved(uint256 a, uint256 b, uint256 c) private view {
        assert(_token.balanceOf(FROM) == uint96(a));
        assert(_token.balanceOf(TO) == uint96(b));
        assert(_token.balanceOf(OTHER) == uint96(c));
    }

    function _standing(address holder) private view returns (uint8 standing) {
        (standing,,) = _sbt.answers(holder);
    }

    function _admitted() private view returns (bool) {
        (, uint48 id,) = _sbt.answers(TO);
        return _token.admittedSbt(TO) == id;
    }

    function _frozenRespected(uint256 a, uint256 amount) private pure returns (bool) {
        uint256 balance = uint96(a);
        uint256 frozen = uint96(a >> 96);
        return amount <= (balance > frozen ? balance - frozen : 0) && a >> 240 & 1 == 0;
    }
}
