// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Roles} from "../src/Roles.sol";
import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {Base} from "./Base.sol";

/// @dev Keys a thief may have got hold of. Pairs are made from this list, so a key added here is paired with every other.
enum Key {
    SbtIssuer,
    Attestor,
    SbtGuardian,
    TokenAgent,
    TokenGuardian,
    Holder,
    SpareWallet,
    Controller
}

/// @dev A platform, honest people, and a thief with one key or two who does whatever those keys allow; then the documented
/// response. The thief also has an address without an SBT (robber) and a genuine, admitted one of his own (mule).
contract StolenKeys is Base {
    uint256 public constant KEYS = uint256(type(Key).max) + 1;
    uint256 private constant ROBBER_KEY = 0xBAD;
    uint256 private constant NEW_ATTESTOR_KEY = 0xA77E6;
    bytes32 private constant REASON = "theft";

    address public immutable robber = vm.addr(ROBBER_KEY);
    address public immutable mule = address(0x3071E);
    address public immutable spare = address(0x5BA7E);
    address public immutable clean = address(0xC1EA2);
    address private immutable newAttestor = vm.addr(NEW_ATTESTOR_KEY);

    uint256 private _held;
    uint256 private _second;
    uint48 private _stolenAt;
    bool public movedWhilePaused;
    /// @dev Calls the thief's keys made, and those that went through: a thief who never gets anything done proves nothing.
    uint256 public tried;
    uint256 public done;
    bytes[] private _schedules;
    address[] private _everyone;

    function setUp() public virtual override {
        super.setUp();
        _everyone = [alice, spare, bob, mule, robber, clean];
        _verify(alice, _subject(alice));
        _verify(spare, _subject(alice));
        _verify(bob, _subject(bob));
        _verify(mule, _subject(mule));
        _skip(ACTIVATION);
        for (uint256 i = 0; i < 4; ++i) {
            _admit(_everyone[i]);
        }
        _mint(alice, 1_000);
        _mint(bob, 500);
        _skip(1 days);
        _stolenAt = uint48(_now());
    }

    // ------------------------------------------------------------------------------------------------------------- theft

    /// @dev The first key is his from now on, the second from `stealSecond` on. Equal: one key only.
    function steal(uint256 first, uint256 second) public {
        if (_held != 0) return;
        _held = 1 << (first % KEYS);
        _second = 1 << (second % KEYS);
    }

    function stealSecond() public {
        _held |= _second;
    }

    /// @dev Something he can do with a key in hand, or with none.
    function act(uint256 seed) public {
        uint256 kind = seed % 24;
        uint256 more = seed >> 16;
        if (kind < 3) asIssuerOrAttestor(more);
        else if (kind < 5) asSbtGuardian(more);
        else if (kind < 12) asAgent(more);
        else if (kind < 13) asTokenGuardian();
        else if (kind < 17) asHolder(more);
        else if (kind < 19) asController(more);
        else if (kind < 21) asAnybody(more);
        else wait(more);
    }

    function asIssuerOrAttestor(uint256 seed) public {
        if (!_has(Key.SbtIssuer) && !_has(Key.Attestor)) return;
        // For an address of his own, or a victim's; as a new person, or with a victim's subject; long or short.
        IInvestorSBT.Attestation memory a = _attestation(seed & 1 == 0 ? robber : _somebody(seed >> 8));
        a.subject = seed & 2 == 0 ? a.subject : _subject(alice);
        if (seed & 4 == 0) a.expiresAt = uint48(_now() + ACTIVATION + 1);
        bytes memory signature = _sign(_has(Key.Attestor) ? ATTESTOR_KEY : ROBBER_KEY, a);
        address signer = seed & 8 == 0 ? attestor : (seed & 16 == 0 ? robber : issuer);
        bytes memory data = seed & 32 == 0
            ? abi.encodeCall(sbt.issue, (a, signer, signature))
            : abi.encodeCall(sbt.renew, (a, signer, signature));
        if (_has(Key.SbtIssuer)) {
            _try(issuer, address(sbt), data);
            _try(issuer, address(manager), abi.encodeCall(manager.execute, (address(sbt), data)));
            _try(issuer, address(sbt), abi.encodeCall(sbt.revoke, (_somebody(seed >> 16))));
        }
        if (_has(Key.Attestor)) {
            _try(attestor, address(sbt), data);
            _try(attestor, address(sbt), abi.encodeCall(sbt.voidAttestation, (seed % 64)));
        }
    }

    function asSbtGuardian(uint256 seed) public {
        if (!_has(Key.SbtGuardian)) return;
        uint256 kind = seed % 4;
        uint48 since = uint48(seed >> 8) % uint48(_now());
        bytes memory data = abi.encodeCall(sbt.pauseIssuance, ());
        if (kind == 0) data = abi.encodeCall(sbt.suspend, (_somebody(seed >> 64)));
        if (kind == 1) data = abi.encodeCall(sbt.distrust, (issuer, seed & 16 == 0 ? 0 : since));
        if (kind == 2) data = abi.encodeCall(sbt.distrust, (attestor, seed & 16 == 0 ? 0 : since));
        _try(sbtGuardian, address(sbt), data);
    }

    function asAgent(uint256 seed) public {
        if (!_has(Key.TokenAgent)) return;
        address first = _somebody(seed >> 8);
        address second = _somebody(seed >> 16);
        uint256 amount = 1 + (seed >> 32) % 1_200;
        uint256 kind = seed % 9;
        bytes memory data = abi.encodeCall(token.announceRecovery, (first, second));
        if (kind == 0) data = abi.encodeCall(token.admit, (_one(first)));
        if (kind == 1) data = abi.encodeCall(token.mint, (first, amount));
        if (kind == 2) data = abi.encodeCall(token.freeze, (first, seed & 64 == 0 ? amount : type(uint256).max));
        if (kind == 3) data = abi.encodeCall(token.recover, (first, second));
        if (kind == 4) data = abi.encodeCall(token.dismiss, (_one(first)));
        if (kind == 5) data = abi.encodeCall(token.redeem, (first, amount));
        if (kind == 6) {
            data = abi.encodeCall(token.setTransferFreeze, (uint48(_now() + amount), uint48(_now() + amount + 9 days)));
        }
        _try(agent, address(token), data);
        if (kind == 7) _recoverSteered(seed);
    }

    function asTokenGuardian() public {
        if (_has(Key.TokenGuardian)) _try(tokenGuardian, address(token), abi.encodeCall(token.pause, ()));
    }

    /// @dev A victim's wallet: sends, allows others to take, objects to recoveries.
    function asHolder(uint256 seed) public {
        address wallet = seed & 1 == 0 ? alice : spare;
        if (!_has(wallet == alice ? Key.Holder : Key.SpareWallet)) return;
        address to = _somebody(seed >> 8);
        uint256 amount = (seed >> 32) % 1_200;
        uint256 kind = seed % 5;
        if (kind < 3) _try(wallet, address(token), abi.encodeCall(token.transfer, (to, amount)));
        if (kind == 3) {
            _try(wallet, address(token), abi.encodeCall(token.approve, (robber, amount)));
            _try(robber, address(token), abi.encodeCall(token.transferFrom, (wallet, to, amount)));
        }
        if (kind == 4) _try(wallet, address(token), abi.encodeCall(token.objectToRecovery, ()));
    }

    /// @dev The controller's key schedules; what it scheduled stands in public view until the council cancels it.
    function asController(uint256 seed) public {
        if (!_has(Key.Controller)) return;
        bytes memory data = _overreach(seed);
        _schedules.push(data);
        uint48 when = seed & 1 == 0 ? 0 : uint48(_now() + (seed >> 8) % 60 days);
        _try(controller, address(manager), abi.encodeCall(manager.schedule, (address(token), data, when)));
        _try(controller, address(token), data);
        _try(controller, address(manager), abi.encodeCall(manager.execute, (address(token), data)));
    }

    /// @dev What none of the keys may do, tried with each key in hand and with none; the mule plays along.
    function asAnybody(uint256 seed) public {
        address sender = _keyAddress(Key(seed % KEYS));
        if (!_has(Key(seed % KEYS))) sender = seed & 256 == 0 ? robber : mule;
        bytes memory data = _overreach(seed >> 16);
        _try(sender, address(token), data);
        _try(sender, address(manager), abi.encodeCall(manager.execute, (address(token), data)));
        _try(sender, address(manager), abi.encodeCall(manager.grantRole, (Roles.TOKEN_CONTROLLER, robber, 0)));
        _try(mule, address(token), abi.encodeCall(token.transfer, (_somebody(seed >> 8), (seed >> 32) % 300)));
    }

    /// @dev Time passes in steps shorter than the controller's delay, and the council looks at every schedule in between.
    function wait(uint256 seed) public {
        _watch();
        _skip(seed % 20 hours);
    }

    /// @dev The thief is patient: to the maturity date and past it. The schedules are watched all the while.
    function mature() public {
        _watch();
        if (_now() < START + 365 days) vm.warp(START + 365 days);
    }

    // ---------------------------------------------------------------------------------------------------------- response

    /// @dev What docs/threat-model.md says happens once the theft is known, in its order; only honest keys act.
    function respond() public {
        _watch();
        _rotate();
        _liftWhatGuardiansDid();
        _vouchAgain();
        _restoreUnits();
        _held = 0;
    }

    function _rotate() private {
        if (_has(Key.SbtIssuer)) _replace(Roles.SBT_ISSUER, issuer);
        if (_has(Key.Attestor)) _replace(Roles.ATTESTOR, attestor);
        if (_has(Key.SbtGuardian)) _replace(Roles.SBT_GUARDIAN, sbtGuardian);
        if (_has(Key.TokenAgent)) _replace(Roles.TOKEN_AGENT, agent);
        if (_has(Key.TokenGuardian)) _replace(Roles.TOKEN_GUARDIAN, tokenGuardian);
        if (_has(Key.Controller)) {
            manager.revokeRole(Roles.TOKEN_CONTROLLER, controller);
            manager.grantRole(Roles.TOKEN_CONTROLLER, _heir(Roles.TOKEN_CONTROLLER), CONTROLLER_DELAY);
            _skip(CONTROLLER_DELAY);
        }
    }

    function _liftWhatGuardiansDid() private {
        if (token.paused()) _must(council, address(token), abi.encodeCall(token.unpause, ()));
        if (sbt.issuancePaused()) _must(council, address(sbt), abi.encodeCall(sbt.resumeIssuance, ()));
        _trustAsOf(issuer, _has(Key.SbtIssuer));
        _trustAsOf(attestor, _has(Key.Attestor));
        for (uint256 i = 0; i < _everyone.length; ++i) {
            address who = _everyone[i];
            if (token.recoveryOf(who).executableAt != 0) {
                _must(council, address(token), abi.encodeCall(token.cancelRecovery, (who)));
            }
            if (sbt.sbtOf(who).suspended && who != robber) {
                _must(council, address(sbt), abi.encodeCall(sbt.reinstate, (who)));
            }
        }
    }

    /// @dev A stolen key is distrusted from the theft on, an honest one trusted.
    function _trustAsOf(address key, bool stolen) private {
        (bool distrusted,) = sbt.distrustOf(key);
        if (distrusted) _must(council, address(sbt), abi.encodeCall(sbt.restoreTrust, (key)));
        if (!stolen) return;
        address guardian = _active(Roles.SBT_GUARDIAN, sbtGuardian, Key.SbtGuardian);
        _must(guardian, address(sbt), abi.encodeCall(sbt.distrust, (key, _stolenAt)));
    }

    /// @dev The officers attest anew whom they know, where the thief's keys left something else; a person whose wallet was
    /// stolen gets a new one.
    function _vouchAgain() private {
        for (uint256 i = 0; i < 4; ++i) {
            _attestAgain(_everyone[i], i == 1 ? _subject(alice) : _subject(_everyone[i]));
        }
        if (_walletStolen()) _attestAgain(clean, _subject(alice));
        _skip(ACTIVATION + 1);
        for (uint256 i = 0; i < 4; ++i) {
            if (!token.isAdmitted(_everyone[i])) _admitAgain(_everyone[i]);
        }
        if (_walletStolen()) _admitAgain(clean);
    }

    function _attestAgain(address holder, bytes32 subject) private {
        uint8 standing = sbt.standingOf(holder);
        if (standing == 0 && sbt.sbtOf(holder).expiresAt > _now() + 300 days) return;
        IInvestorSBT.Attestation memory a = _attestation(holder);
        a.subject = subject;
        a.expiresAt = uint48(_now() + 1000 days);
        bytes memory signature = _sign(_has(Key.Attestor) ? NEW_ATTESTOR_KEY : ATTESTOR_KEY, a);
        address signer = _has(Key.Attestor) ? newAttestor : attestor;
        address sender = _active(Roles.SBT_ISSUER, issuer, Key.SbtIssuer);
        if (standing == 1) _must(sender, address(sbt), abi.encodeCall(sbt.issue, (a, signer, signature)));
        else _must(sender, address(sbt), abi.encodeCall(sbt.renew, (a, signer, signature)));
    }

    function _admitAgain(address holder) private {
        address sender = _active(Roles.TOKEN_AGENT, agent, Key.TokenAgent);
        _must(sender, address(token), abi.encodeCall(token.admit, (_one(holder))));
    }

    /// @dev Through the controller's delay: redemptions reversed, freezes lifted, excess burned or moved back.
    function _restoreUnits() private {
        for (uint256 i = 0; i < _everyone.length; ++i) {
            address who = _everyone[i];
            uint256 redeemed = token.redeemedFrom(who);
            if (redeemed != 0) _order(abi.encodeCall(token.reverseRedemption, (who, redeemed, REASON)));
            if (token.getFrozenTokens(who) != 0) _order(abi.encodeCall(token.setFrozenTokens, (who, 0)));
        }
        uint256 minted = token.totalSupply() - 1_500;
        for (uint256 i = 0; i < _everyone.length; ++i) {
            address who = _everyone[i];
            uint256 excess = token.balanceOf(who) - _min(token.balanceOf(who), _due(who));
            uint256 burned = _min(excess, minted);
            if (burned != 0) _order(abi.encodeCall(token.burn, (who, burned, REASON)));
            minted -= burned;
            for (uint256 j = 0; excess > burned && j < _everyone.length; ++j) {
                uint256 missing = _due(_everyone[j]) - _min(token.balanceOf(_everyone[j]), _due(_everyone[j]));
                uint256 back = _min(excess - burned, missing);
                if (back != 0) _order(_forced(who, _everyone[j], back));
                burned += back;
            }
        }
    }

    /// @dev What each address owns once all is well; a stolen wallet owns nothing any more.
    function _due(address who) private view returns (uint256) {
        if (who == bob) return 500;
        return who == (_walletStolen() ? clean : alice) ? 1_000 : 0;
    }

    // ------------------------------------------------------------------------------------------------------------- checks

    /// @dev True at every moment, with the keys still in the thief's hands.
    function checkDuring() public view {
        _eq(token.balanceOf(robber), 0, "an address without a genuine SBT owns a security");
        _eq(token.balanceOf(address(0)), 0, "the zero address owns a security");
        uint256 sum;
        for (uint256 i = 0; i < _everyone.length; ++i) {
            uint256 balance = token.balanceOf(_everyone[i]);
            uint256 frozen = token.getFrozenTokens(_everyone[i]);
            _eq(token.unfrozenBalanceOf(_everyone[i]), balance > frozen ? balance - frozen : 0, "unfrozen");
            sum += balance;
        }
        _eq(sum, token.totalSupply(), "the balances are the supply");
        _true(token.totalSupply() <= token.authorisedAmount(), "no more outstanding than authorised");
        _true(token.authorisedAmount() <= 10_000, "no hot key raises what is authorised");
        _true(!movedWhilePaused, "something moved during a pause");
        (bool robberRuns,) = manager.hasRole(Roles.TOKEN_CONTROLLER, robber);
        _true(!robberRuns, "the thief gave himself a role");
    }

    /// @dev After the response nothing is lost for good.
    function checkAfter(bool walletStolen) public view {
        _eq(token.balanceOf(robber), 0, "the robber owns a security");
        _eq(token.balanceOf(mule), 0, "the mule owns a security");
        _eq(token.balanceOf(bob), 500, "bob lost");
        _eq(token.balanceOf(spare), 0, "the spare wallet");
        _eq(token.balanceOf(walletStolen ? alice : clean), 0, "a stolen wallet owns a security");
        _eq(token.balanceOf(walletStolen ? clean : alice), 1_000, "alice lost");
        _eq(token.totalSupply(), 1_500, "the supply changed");
        _eq(token.authorisedAmount(), 10_000, "the authorised amount changed");
        address heir = walletStolen ? clean : alice;
        _true(sbt.isEffective(heir) && token.isAdmitted(heir) && sbt.isEffective(bob), "service is not back");
        _eq(token.getFrozenTokens(heir) + token.getFrozenTokens(bob), 0, "something is still frozen");
        _true(!token.paused() && !sbt.issuancePaused(), "something is still paused");
        _true(!sbt.isEffective(robber), "a forged SBT still counts");
    }

    function walletIsStolen() external view returns (bool) {
        return _walletStolen();
    }

    // ------------------------------------------------------------------------------------------------------------ helpers

    function _verify(address holder, bytes32 subject) private {
        IInvestorSBT.Attestation memory a = _attestation(holder);
        (a.subject, a.expiresAt) = (subject, uint48(_now() + 4 * 365 days));
        _issue(a);
    }

    /// @dev To the end, hurried: the lock of a person's own two wallets, then the move.
    function _recoverSteered(uint256 seed) private {
        (address lost, address next) = seed & 128 == 0 ? (alice, spare) : (spare, alice);
        _try(agent, address(token), abi.encodeCall(token.announceRecovery, (lost, next)));
        _watch();
        _skip(RECOVERY_DELAY);
        _try(agent, address(token), abi.encodeCall(token.recover, (lost, next)));
    }

    function _overreach(uint256 seed) private view returns (bytes memory data) {
        address victim = seed & 1 == 0 ? alice : bob;
        address to = seed & 2 == 0 ? robber : mule;
        uint256 amount = (seed >> 8) % 1_200;
        uint256 kind = (seed >> 2) % 8;
        if (kind == 0) return _forced(victim, to, amount);
        if (kind == 1) return abi.encodeCall(token.transferFrom, (victim, to, amount));
        if (kind == 2) return abi.encodeCall(token.setAuthority, (robber));
        if (kind == 3) return abi.encodeCall(token.burn, (victim, amount, REASON));
        if (kind == 4) return abi.encodeCall(token.redeemEarly, (victim, amount));
        if (kind == 5) return abi.encodeCall(token.raiseAuthorisedAmount, (20_000 + amount));
        if (kind == 6) return abi.encodeCall(token.setFrozenTokens, (victim, 0));
        return abi.encodeCall(token.permit, (victim, robber, amount, type(uint256).max, 27, "r", "s"));
    }

    function _forced(address from, address to, uint256 amount) private pure returns (bytes memory) {
        return abi.encodeWithSignature("forcedTransfer(address,address,uint256)", from, to, amount);
    }

    /// @dev The council cancels every schedule the platform did not make.
    function _watch() private {
        while (_schedules.length != 0) {
            bytes memory data = _schedules[_schedules.length - 1];
            _schedules.pop();
            if (manager.getSchedule(manager.hashOperation(controller, address(token), data)) == 0) continue;
            _must(council, address(manager), abi.encodeCall(manager.cancel, (controller, address(token), data)));
        }
    }

    function _replace(uint64 role, address stolen) private {
        manager.revokeRole(role, stolen);
        manager.grantRole(role, _heir(role), 0);
    }

    function _heir(uint64 role) private view returns (address) {
        return role == Roles.ATTESTOR ? newAttestor : address(uint160(0xFE00 + role));
    }

    function _active(uint64 role, address original, Key key) private view returns (address) {
        return _has(key) ? _heir(role) : original;
    }

    /// @dev An honest controller's call: scheduled, waited for, made.
    function _order(bytes memory data) private {
        address sender = _active(Roles.TOKEN_CONTROLLER, controller, Key.Controller);
        _must(sender, address(manager), abi.encodeCall(manager.schedule, (address(token), data, 0)));
        _skip(CONTROLLER_DELAY);
        _must(sender, address(token), data);
    }

    function _must(address sender, address target, bytes memory data) private {
        _call(sender, target, data);
    }

    function _try(address sender, address target, bytes memory data) private {
        bool paused = token.paused();
        bytes32 before = paused ? _register() : bytes32(0);
        bytes4 selector = bytes4(data);
        vm.prank(sender);
        (bool ok,) = target.call(data);
        ++tried;
        if (ok) ++done;
        bool mayMove = selector == token.redeem.selector; // redemption goes on during a pause, by design
        if (paused && !mayMove && before != _register()) movedWhilePaused = true;
    }

    function _register() private view returns (bytes32 digest) {
        for (uint256 i = 0; i < _everyone.length; ++i) {
            digest = keccak256(abi.encode(digest, token.balanceOf(_everyone[i])));
        }
    }

    function _has(Key key) private view returns (bool) {
        return _held & (1 << uint256(key)) != 0;
    }

    function _walletStolen() private view returns (bool) {
        return _has(Key.Holder) || _has(Key.SpareWallet);
    }

    function _keyAddress(Key key) private view returns (address) {
        if (key == Key.SbtIssuer) return issuer;
        if (key == Key.Attestor) return attestor;
        if (key == Key.SbtGuardian) return sbtGuardian;
        if (key == Key.TokenAgent) return agent;
        if (key == Key.TokenGuardian) return tokenGuardian;
        if (key == Key.Holder) return alice;
        return key == Key.SpareWallet ? spare : controller;
    }

    /// @dev Anybody but the wallet that is only there after the response.
    function _somebody(uint256 seed) private view returns (address) {
        return _everyone[seed % 5];
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}

/// @dev Every single key and every ordered pair in turn, each against a fresh platform.
contract HotKeysTest is StolenKeys {
    uint256 private constant STEPS = 64;

    /// @dev Carries the outcome out of a call whose every effect is undone.
    error Played(uint256 tried, uint256 done);

    function test_EverySingleKeyAndOrderedPairInTurn() public {
        _everyPair(1);
    }

    /// forge-config: default.fuzz.runs = 2
    /// forge-config: long.fuzz.runs = 64
    function testFuzz_EverySingleKeyAndOrderedPairInTurn(uint256 seed) public {
        _everyPair(seed);
    }

    /// @dev Plays one theft to its end; reverts always, with `Played` if nothing was lost, so that the next one starts afresh.
    function play(uint256 first, uint256 second, uint256 seed) external {
        steal(first, second);
        for (uint256 i = 0; i < STEPS; ++i) {
            if (i == STEPS / 4) stealSecond();
            seed = uint256(keccak256(abi.encode(seed, first, second, i)));
            if (i == STEPS * 3 / 4 && seed & 1 == 0) mature();
            this.act(seed);
            checkDuring();
        }
        bool walletStolen = first == uint256(Key.Holder) || first == uint256(Key.SpareWallet)
            || second == uint256(Key.Holder) || second == uint256(Key.SpareWallet);
        respond();
        checkAfter(walletStolen);
        revert Played(tried, done);
    }

    function _everyPair(uint256 seed) private {
        uint256 start = _now();
        uint256 allDone;
        for (uint256 first = 0; first < KEYS; ++first) {
            for (uint256 second = 0; second < KEYS; ++second) {
                vm.warp(start);
                (, bytes memory result) = address(this).call(abi.encodeCall(this.play, (first, second, seed)));
                if (bytes4(result) != Played.selector) {
                    assembly ("memory-safe") {
                        revert(add(result, 32), mload(result))
                    }
                }
                assembly ("memory-safe") {
                    allDone := add(allDone, mload(add(result, 68)))
                }
            }
        }
        _true(allDone > KEYS * KEYS, "the thieves got nothing done, so nothing was tested");
    }
}

struct Targets {
    address addr;
    bytes4[] selectors;
}

/// @dev The same thief driven by forge: the first call of a run takes the keys, the end of every run brings the response.
contract HotKeyInvariants {
    bool public constant IS_TEST = true;
    StolenKeys private _world;

    function setUp() public {
        _world = new StolenKeys();
        _world.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_world);
    }

    function targetSelectors() external view returns (Targets[] memory list) {
        list = new Targets[](1);
        bytes4[] memory f = new bytes4[](12);
        (f[0], f[1], f[2]) = (_world.steal.selector, _world.stealSecond.selector, _world.asIssuerOrAttestor.selector);
        (f[3], f[4], f[5]) = (_world.asSbtGuardian.selector, _world.asAgent.selector, _world.asTokenGuardian.selector);
        (f[6], f[7], f[8]) = (_world.asHolder.selector, _world.asController.selector, _world.asAnybody.selector);
        (f[9], f[10], f[11]) = (_world.wait.selector, _world.mature.selector, _world.act.selector);
        list[0] = Targets(address(_world), f);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_StolenHotKeysGiveNoOwnershipOutsideTheRegister() public view {
        _world.checkDuring();
    }

    /// @dev Forge calls it once at the end of every run.
    function afterInvariant() public {
        bool walletStolen = _world.walletIsStolen();
        _world.respond();
        _world.checkAfter(walletStolen);
    }
}
