// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {Base} from "./Base.sol";

/// @dev What forge asks an invariant test for.
struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}

/// @dev Everybody does whatever they may, at random; remembers who ever had an effective SBT and what moved during a pause.
contract MarketHandler is Base {
    address[] public people;
    mapping(address person => bool) public everEffective;
    bool public movedWhilePaused;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 6; ++i) {
            people.push(address(uint160(0x9000 + i)));
        }
        // Two persons with two wallets each, so that recoveries happen; the last two people start without an SBT.
        for (uint256 i = 0; i < 4; ++i) {
            _issueTo(people[i], _subject(people[i / 2]), PERSON);
        }
        _skip(ACTIVATION);
        for (uint256 i = 0; i < 4; ++i) {
            _admit(people[i]);
        }
        _mint(people[0], 500);
        _mint(people[2], 500);
        _remember();
    }

    function count() external view returns (uint256) {
        return people.length;
    }

    function transfer(uint256 a, uint256 b, uint256 amount) external {
        _do(_who(a), address(token), abi.encodeCall(token.transfer, (_who(b), amount % 600)), false);
    }

    function transferFrom(uint256 a, uint256 b, uint256 c, uint256 amount) external {
        _do(_who(a), address(token), abi.encodeCall(token.approve, (_who(c), amount)), false);
        _do(_who(c), address(token), abi.encodeCall(token.transferFrom, (_who(a), _who(b), amount % 600)), false);
    }

    function issue(uint256 a) external {
        IInvestorSBT.Attestation memory attestation = _attestation(_who(a));
        bytes memory signature = _sign(ATTESTOR_KEY, attestation);
        _do(issuer, address(sbt), abi.encodeCall(sbt.issue, (attestation, attestor, signature)), false);
    }

    function guard(uint256 a, uint8 kind) external {
        kind = kind % 7;
        if (kind == 0) _do(sbtGuardian, address(sbt), abi.encodeCall(sbt.suspend, (_who(a))), false);
        if (kind == 1) _do(council, address(sbt), abi.encodeCall(sbt.reinstate, (_who(a))), false);
        if (kind == 2) _do(issuer, address(sbt), abi.encodeCall(sbt.revoke, (_who(a))), false);
        if (kind == 3) _do(sbtGuardian, address(sbt), abi.encodeCall(sbt.distrust, (issuer, uint48(_now()))), false);
        if (kind == 4) _do(council, address(sbt), abi.encodeCall(sbt.restoreTrust, (issuer)), false);
        if (kind == 5) _do(tokenGuardian, address(token), abi.encodeCall(token.pause, ()), false);
        if (kind == 6) _do(council, address(token), abi.encodeCall(token.unpause, ()), false);
    }

    function serve(uint256 a, uint256 amount, uint8 kind) external {
        kind = kind % 6;
        if (kind == 0) _do(agent, address(token), abi.encodeCall(token.admit, (_one(_who(a)))), false);
        if (kind == 1) _do(agent, address(token), abi.encodeCall(token.dismiss, (_one(_who(a)))), false);
        if (kind == 2) _do(agent, address(token), abi.encodeCall(token.mint, (_who(a), amount % 2_000)), false);
        if (kind == 3) _do(agent, address(token), abi.encodeCall(token.freeze, (_who(a), amount % 700)), false);
        if (kind == 4) _do(agent, address(token), abi.encodeCall(token.redeem, (_who(a), amount % 700)), true);
        if (kind == 5) {
            (address[] memory to, uint256[] memory amounts) = (new address[](2), new uint256[](2));
            // The second amount is of any size, up to what no balance holds.
            (to[0], to[1], amounts[0], amounts[1]) = (_who(a), _who(a >> 8), amount % 900, amount >> amount % 256);
            _do(agent, address(token), abi.encodeCall(token.mintBatch, (to, amounts)), false);
        }
    }

    function recovery(uint256 a, uint256 b, uint8 kind) external {
        kind = kind % 4;
        if (kind == 0) _do(agent, address(token), abi.encodeCall(token.announceRecovery, (_who(a), _who(b))), false);
        if (kind == 1) _do(_who(a), address(token), abi.encodeCall(token.objectToRecovery, ()), false);
        if (kind == 2) _do(council, address(token), abi.encodeCall(token.cancelRecovery, (_who(a))), false);
        if (kind == 3) _do(agent, address(token), abi.encodeCall(token.recover, (_who(a), _who(b))), false);
    }

    function control(uint256 a, uint256 b, uint256 amount, uint8 kind) external {
        amount = 1 + amount % 600;
        bytes memory data;
        kind = kind % 5;
        if (kind == 0) {
            data = abi.encodeWithSignature("forcedTransfer(address,address,uint256)", _who(a), _who(b), amount);
        }
        if (kind == 1) data = abi.encodeCall(token.setFrozenTokens, (_who(a), amount - 1));
        if (kind == 2) data = abi.encodeCall(token.redeemEarly, (_who(a), amount));
        if (kind == 3) data = abi.encodeCall(token.burn, (_who(a), amount, "wrong mint"));
        if (kind == 4) data = abi.encodeCall(token.reverseRedemption, (_who(a), amount, "mistake"));
        vm.prank(controller);
        (bool ok,) = address(manager).call(abi.encodeCall(manager.schedule, (address(token), data, 0)));
        if (!ok) return;
        _skip(CONTROLLER_DELAY);
        _do(controller, address(token), data, true);
    }

    function wait(uint256 time) external {
        _skip(time % 5 days);
        _remember();
    }

    // ------------------------------------------------------------------------------------------------------------- helpers

    function _who(uint256 index) private view returns (address) {
        return people[index % people.length];
    }

    function _do(address sender, address target, bytes memory data, bool mayMoveWhilePaused) private {
        _remember();
        bool still = token.paused() && !mayMoveWhilePaused;
        bytes32 before = _register();
        vm.prank(sender);
        (bool ok,) = target.call(data);
        ok; // what is not allowed is refused; what was allowed is judged by the invariants
        if (still && before != _register()) movedWhilePaused = true;
    }

    function _register() private view returns (bytes32 digest) {
        for (uint256 i = 0; i < people.length; ++i) {
            digest = keccak256(abi.encode(digest, token.balanceOf(people[i])));
        }
    }

    function _remember() private {
        for (uint256 i = 0; i < people.length; ++i) {
            if (sbt.isEffective(people[i])) everEffective[people[i]] = true;
        }
    }

    function checkBooks() external view {
        uint256 sum;
        uint256 holders;
        for (uint256 i = 0; i < people.length; ++i) {
            uint256 balance = token.balanceOf(people[i]);
            sum += balance;
            if (balance != 0) ++holders;
            _true(balance == 0 || everEffective[people[i]], "a balance where there never was an effective SBT");
            uint256 frozen = token.getFrozenTokens(people[i]);
            _eq(token.unfrozenBalanceOf(people[i]), balance > frozen ? balance - frozen : 0, "unfrozen");
        }
        _eq(sum, token.totalSupply(), "the balances are the supply");
        _eq(holders, token.holderCount(), "the holders are counted");
        _true(token.totalSupply() <= token.authorisedAmount(), "no more outstanding than authorised");
        _true(!movedWhilePaused, "something moved during a pause");
    }
}

contract MarketInvariants {
    bool public constant IS_TEST = true;
    MarketHandler private _handler;

    function setUp() public {
        _handler = new MarketHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        bytes4[] memory f = new bytes4[](8);
        (f[0], f[1], f[2]) = (_handler.transfer.selector, _handler.transferFrom.selector, _handler.issue.selector);
        (f[3], f[4], f[5]) = (_handler.guard.selector, _handler.serve.selector, _handler.recovery.selector);
        (f[6], f[7]) = (_handler.control.selector, _handler.wait.selector);
        list[0] = FuzzSelector(address(_handler), f);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_BooksAgreeAndNothingMovesWhilePaused() public view {
        _handler.checkBooks();
    }
}

/// @dev A thief who holds one hot key, or any two, and tries everything with them. The first call of a run says which.
contract ThiefHandler is Base {
    uint256 private constant THIEF_KEY = 0xBAD;
    address private _robber;
    uint256 private _keys;
    bool private _chosen;
    address[] public victims;

    function setUp() public override {
        super.setUp();
        _robber = vm.addr(THIEF_KEY);
        victims = [alice, bob];
        _holder(alice, 1_000);
        _holder(bob, 500);
    }

    /// @dev Hot keys by bit: issuer, attestor, sbtGuardian, agent, tokenGuardian.
    function steal(uint8 first, uint8 second) external {
        if (!_chosen) (_keys, _chosen) = ((1 << (first % 5)) | (1 << (second % 5)), true);
    }

    function forge(uint8 how, uint256 holderSeed) external {
        // A wallet of the thief's own, perhaps with a victim's subject.
        IInvestorSBT.Attestation memory a = _attestation(_robber);
        a.subject = how & 1 == 0 ? _subject(_robber) : _subject(victims[holderSeed % 2]);
        bytes memory signature = _sign(_has(1) ? ATTESTOR_KEY : THIEF_KEY, a);
        address signer = how & 2 == 0 ? attestor : (how & 4 == 0 ? _robber : issuer);
        if (_has(0)) {
            _do(issuer, address(sbt), abi.encodeCall(sbt.issue, (a, signer, signature)));
            _do(issuer, address(sbt), abi.encodeCall(sbt.renew, (a, signer, signature)));
            bytes memory data = abi.encodeCall(sbt.issue, (a, signer, signature));
            _do(issuer, address(manager), abi.encodeCall(manager.execute, (address(sbt), data)));
        }
        if (_has(1)) _do(attestor, address(sbt), abi.encodeCall(sbt.issue, (a, signer, signature)));
    }

    function reduce(uint256 who, uint48 since, uint8 kind) external {
        address victim = victims[who % 2];
        kind = kind % 5;
        if (_has(2)) {
            if (kind == 0) _do(sbtGuardian, address(sbt), abi.encodeCall(sbt.suspend, (victim)));
            if (kind == 1) _do(sbtGuardian, address(sbt), abi.encodeCall(sbt.distrust, (issuer, since)));
            if (kind == 2) _do(sbtGuardian, address(sbt), abi.encodeCall(sbt.pauseIssuance, ()));
        }
        if (_has(0) && kind == 3) _do(issuer, address(sbt), abi.encodeCall(sbt.revoke, (victim)));
        if (_has(4) && kind == 4) _do(tokenGuardian, address(token), abi.encodeCall(token.pause, ()));
    }

    function abuse(uint256 who, uint256 amount, uint8 kind) external {
        if (!_has(3)) return;
        address victim = victims[who % 2];
        kind = kind % 8;
        if (kind == 0) _do(agent, address(token), abi.encodeCall(token.admit, (_one(_robber))));
        if (kind == 1) _do(agent, address(token), abi.encodeCall(token.mint, (_robber, 1 + amount % 9_000)));
        if (kind == 2) _do(agent, address(token), abi.encodeCall(token.freeze, (victim, amount)));
        if (kind == 3) _do(agent, address(token), abi.encodeCall(token.announceRecovery, (victim, _robber)));
        if (kind == 4) _do(agent, address(token), abi.encodeCall(token.recover, (victim, _robber)));
        if (kind == 5) _do(agent, address(token), abi.encodeCall(token.dismiss, (_one(victim))));
        if (kind == 6) _do(agent, address(token), abi.encodeCall(token.redeem, (victim, 1 + amount % 1_000)));
        if (kind == 7) {
            _do(agent, address(token), abi.encodeCall(token.announceRecovery, (victim, victims[1 - who % 2])));
        }
    }

    /// @dev What none of the keys may do, tried with each of them and with the thief's own.
    function overreach(uint256 who, uint256 amount, uint8 key, uint8 kind) external {
        address victim = victims[who % 2];
        address sender = _holderOfKey(key);
        bytes memory data;
        kind = kind % 7;
        if (kind == 0) {
            data = abi.encodeWithSignature("forcedTransfer(address,address,uint256)", victim, _robber, amount);
        }
        if (kind == 1) data = abi.encodeCall(token.transferFrom, (victim, _robber, amount % 1_000));
        if (kind == 2) data = abi.encodeCall(token.setAuthority, (_robber));
        if (kind == 3) data = abi.encodeCall(token.burn, (victim, amount, "x"));
        if (kind == 4) data = abi.encodeCall(token.redeemEarly, (victim, amount));
        if (kind == 5) data = abi.encodeCall(token.raiseAuthorisedAmount, (amount));
        if (kind == 6) data = abi.encodeCall(token.permit, (victim, _robber, amount, type(uint256).max, 27, "r", "s"));
        _do(sender, address(token), data);
        _do(sender, address(manager), abi.encodeCall(manager.execute, (address(token), data)));
        _do(sender, address(manager), abi.encodeCall(manager.schedule, (address(token), data, 0)));
        _do(sender, address(manager), abi.encodeCall(manager.grantRole, (5, _robber, 0)));
    }

    function wait(uint256 time) external {
        uint256 until = _now() + time % 3 days;
        if (until < START + 300 days) vm.warp(until);
    }

    function checkLoss() external view {
        _eq(token.balanceOf(_robber), 0, "the thief owns a security");
        _eq(token.balanceOf(alice), 1_000, "alice lost");
        _eq(token.balanceOf(bob), 500, "bob lost");
        _eq(token.totalSupply(), 1_500, "the supply changed");
    }

    function _has(uint256 key) private view returns (bool) {
        return _keys & (1 << key) != 0;
    }

    function _holderOfKey(uint8 key) private view returns (address) {
        address[5] memory all = [issuer, attestor, sbtGuardian, agent, tokenGuardian];
        return key % 6 < 5 && _has(key % 6) ? all[key % 6] : _robber;
    }

    function _do(address sender, address target, bytes memory data) private {
        vm.prank(sender);
        (bool ok,) = target.call(data);
        ok; // what is not allowed is refused; what was allowed is judged by the invariant
    }
}

contract ThiefInvariants {
    bool public constant IS_TEST = true;
    ThiefHandler private _handler;

    function setUp() public {
        _handler = new ThiefHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        bytes4[] memory f = new bytes4[](6);
        (f[0], f[1], f[2]) = (_handler.steal.selector, _handler.forge.selector, _handler.reduce.selector);
        (f[3], f[4], f[5]) = (_handler.abuse.selector, _handler.overreach.selector, _handler.wait.selector);
        list[0] = FuzzSelector(address(_handler), f);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_OneOrTwoStolenHotKeysOwnNothing() public view {
        _handler.checkLoss();
    }
}
