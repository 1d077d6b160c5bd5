// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DepositForwarder} from "../src/DepositForwarder.sol";
import {Base, Vm} from "./Base.sol";
import {Force} from "./CollateralVault.t.sol";
import {FuzzSelector} from "./Invariants.t.sol";

/// @dev Everybody does whatever they may with three accounts, at random; keeps books of its own beside the vault's.
contract VaultHandler is Base {
    bytes32[3] public accounts;
    address[3] public borrowers;
    uint256 public paidIn;
    uint256 public forced;
    bool public leftWhilePaused;
    /// @dev Account of each release and sale that was asked for; its place, from one, is its id.
    uint256[] private _proposed;
    uint256[] private _recorded;

    function setUp() public override {
        super.setUp();
        _deployVault();
        manager.grantRole(5, controller, 0); // the vault's own notice is what is tried here
        for (uint256 i = 0; i < 3; ++i) {
            borrowers[i] = address(uint160(0xB0110 + i));
            accounts[i] = vault.open(bytes32(i), borrowers[i]);
            payIn(i, 20 ether, 0);
        }
    }

    function payIn(uint256 a, uint256 amount, uint8 how) public {
        amount = 1 + amount % 40 ether;
        bytes32 account = accounts[a % 3];
        address at = vault.depositAddressOf(account);
        vm.deal(address(this), amount);
        bool ok = true;
        if (how % 3 == 0) vault.deposit{value: amount}(account);
        if (how % 3 == 1) (ok,) = at.call{value: amount}("");
        if (how % 3 == 2) {
            new Force{value: amount}(payable(at));
            DepositForwarder(payable(at)).sweep();
        }
        _true(ok, "a payment was refused");
        paidIn += amount;
    }

    function force(uint256 amount) external {
        amount = amount % 1 ether;
        vm.deal(address(this), amount);
        new Force{value: amount}(payable(address(vault)));
        forced += amount;
    }

    function release(uint256 a, uint256 amount, uint8 kind) external {
        kind = kind % 6;
        if (kind < 2) {
            bytes32 id = _remember(_proposed, a);
            _do(collateralAgent, abi.encodeCall(vault.proposeRelease, (accounts[a % 3], id, amount % 25 ether)));
            return;
        }
        (bytes32 account, bytes32 known) = _known(_proposed, a);
        if (kind < 4) _do(collateralAgent, abi.encodeCall(vault.executeRelease, (account, known)));
        if (kind == 4) _do(collateralAgent, abi.encodeCall(vault.withdrawRelease, (account, known)));
        if (kind == 5) _do(tokenGuardian, abi.encodeCall(vault.cancelRelease, (account, known)));
    }

    function sale(uint256 a, uint256 amount, uint8 kind) external {
        kind = kind % 6;
        if (kind < 2) {
            bytes32 id = _remember(_recorded, a);
            uint48 ends = uint48(_now() + 1 + amount % 3 days);
            _do(saleRecorder, abi.encodeCall(vault.recordSale, (accounts[a % 3], id, amount % 45 ether, ends)));
            return;
        }
        (bytes32 account, bytes32 known) = _known(_recorded, a);
        if (kind < 4) {
            uint256 portion = amount % (vault.saleOf(account, known).remaining + 2);
            _do(collateralAgent, abi.encodeCall(vault.executeSale, (account, known, portion)));
        }
        if (kind == 4) _do(saleRecorder, abi.encodeCall(vault.withdrawSale, (account, known)));
        if (kind == 5) _do(tokenGuardian, abi.encodeCall(vault.cancelSale, (account, known)));
    }

    function _remember(uint256[] storage list, uint256 a) private returns (bytes32) {
        list.push(a % 3);
        return bytes32(list.length);
    }

    /// @dev One that was asked for before; mostly one of the newest.
    function _known(uint256[] storage list, uint256 a) private view returns (bytes32 account, bytes32 id) {
        if (list.length == 0) return (accounts[0], 0);
        uint256 number = list.length - (a % (list.length < 4 ? list.length : 4));
        return (accounts[list[number - 1]], bytes32(number));
    }

    /// @dev Borrowers' addresses go round among the three, so what left can be counted.
    function change(uint256 a, uint256 b, uint8 kind) external {
        bytes32 account = accounts[a % 3];
        kind = kind % 4;
        if (kind == 0) {
            _do(controller, abi.encodeCall(vault.announceBorrowerChange, (account, borrowers[b % 3])));
        }
        if (kind == 1) vm.prank(vault.borrowerOf(account));
        if (kind == 1) {
            (bool ok,) = address(vault).call(abi.encodeCall(vault.objectToBorrowerChange, (account)));
            ok;
        }
        if (kind == 2) _do(council, abi.encodeCall(vault.cancelBorrowerChange, (account)));
        if (kind == 3) _do(thief, abi.encodeCall(vault.applyBorrowerChange, (account)));
    }

    function guard(uint8 kind) external {
        if (kind % 4 == 0) _do(tokenGuardian, abi.encodeCall(vault.pause, ()));
        else _do(council, abi.encodeCall(vault.unpause, ()));
    }

    function wait(uint256 time) external {
        _skip(time % 1 days);
    }

    function checkBooks() external view {
        uint256 sum;
        uint256 paidOut = saleAddress.balance;
        for (uint256 i = 0; i < 3; ++i) {
            sum += vault.balanceOf(accounts[i]);
            paidOut += borrowers[i].balance;
            _eq(vault.depositAddressOf(accounts[i]).balance, 0, "something stayed at a deposit address");
        }
        _eq(sum, vault.totalCollateral(), "the accounts do not add up");
        _eq(address(vault).balance, sum + forced, "the vault holds something else than its accounts");
        _eq(sum + paidOut, paidIn, "something left to another place");
        _true(!leftWhilePaused, "something left during a pause");
    }

    function _do(address sender, bytes memory data) private {
        bool paused = vault.paused();
        uint256 before = vault.totalCollateral();
        vm.prank(sender);
        (bool ok,) = address(vault).call(data);
        ok; // what is not allowed is refused; what was allowed is judged by the invariant
        if (paused && vault.totalCollateral() != before) leftWhilePaused = true;
    }
}

contract VaultInvariants {
    bool public constant IS_TEST = true;
    VaultHandler private _handler;

    function setUp() public {
        _handler = new VaultHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        bytes4[] memory f = new bytes4[](7);
        (f[0], f[1], f[2]) = (_handler.payIn.selector, _handler.force.selector, _handler.release.selector);
        (f[3], f[4], f[5]) = (_handler.sale.selector, _handler.change.selector, _handler.guard.selector);
        f[6] = _handler.wait.selector;
        list[0] = FuzzSelector(address(_handler), f);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_AccountsAddUpAndEthLeavesToTheTwoPlacesOnly() public view {
        _handler.checkBooks();
    }
}

/// @dev A thief who holds one key or any two tries everything on a loan that is not the thief's. The desk answers late, but
/// within the notice: the council cancels what it did not ask for.
contract VaultThief is Base {
    uint256 public constant KEYS = 8;
    bytes32 private constant LOAN = "victim";
    bytes32 public account;
    address[8] private _keyholders;
    uint256 private _first;
    uint256 private _second;
    bool private _chosen;

    function setUp() public override {
        super.setUp();
        _deployVault();
        _keyholders = [collateralAgent, saleRecorder, tokenGuardian, controller, agent, issuer, attestor, sbtGuardian];
        account = vault.open(LOAN, alice);
        vm.deal(address(this), 300 ether);
        vault.deposit{value: 300 ether}(account);
    }

    function steal(uint256 first, uint256 second) public {
        if (!_chosen) (_first, _second, _chosen) = (first % KEYS, second % KEYS, true);
    }

    function holds(address key) public view returns (bool) {
        return _chosen && (_keyholders[_first] == key || _keyholders[_second] == key);
    }

    /// @dev One act with one of the stolen keys, or with the thief's own address.
    function act(uint8 which, uint8 kind, uint256 amount, uint256 id) public {
        address sender = !_chosen || which % 3 == 2 ? thief : _keyholders[which % 3 == 0 ? _first : _second];
        bytes memory data = _data(kind % 16, 1 + amount % 300 ether, bytes32(1 + id % 6));
        _do(sender, address(vault), data);
        _do(sender, address(manager), abi.encodeCall(manager.schedule, (address(vault), data, 0)));
        _do(sender, address(manager), abi.encodeCall(manager.execute, (address(vault), data)));
        _do(sender, address(manager), abi.encodeCall(manager.grantRole, (uint64(9 + id % 2), thief, 0)));
        _do(sender, address(manager), abi.encodeCall(manager.updateAuthority, (address(vault), thief)));
    }

    function _data(uint8 kind, uint256 amount, bytes32 id) private view returns (bytes memory) {
        if (kind == 0) return abi.encodeCall(vault.proposeRelease, (account, id, amount));
        if (kind == 1) return abi.encodeCall(vault.executeRelease, (account, id));
        if (kind == 2) return abi.encodeCall(vault.recordSale, (account, id, amount, uint48(_now() + 5 days)));
        if (kind == 3) return abi.encodeCall(vault.executeSale, (account, id, amount));
        if (kind == 4) return abi.encodeCall(vault.announceBorrowerChange, (account, thief));
        if (kind == 5) return abi.encodeCall(vault.applyBorrowerChange, (account));
        if (kind == 6) return abi.encodeCall(vault.announceSaleAddress, (thief));
        if (kind == 7) return abi.encodeCall(vault.applySaleAddress, ());
        if (kind == 8) return abi.encodeCall(vault.setLimits, (1e28, 1e28));
        if (kind == 9) return abi.encodeCall(vault.open, (LOAN, thief));
        if (kind == 10) return abi.encodeCall(vault.cancelBorrowerChange, (account));
        if (kind == 11) return abi.encodeCall(vault.unpause, ());
        if (kind == 12) return abi.encodeCall(vault.pause, ());
        if (kind == 13) return abi.encodeCall(vault.setAuthority, (thief));
        if (kind == 14) return abi.encodeCall(vault.depositFrom, (account, thief));
        return abi.encodeCall(vault.cancelRelease, (account, id));
    }

    /// @dev Time passes; the council looks once in every notice period and cancels.
    function wait(uint256 time) public {
        time = time % 5 days;
        while (time != 0) {
            uint256 step = time < NOTICE ? time : NOTICE - 1;
            _skip(step);
            time -= step;
            _respond();
        }
    }

    function _respond() private {
        if (vault.borrowerChangeOf(account).effectiveAt != 0) {
            vm.prank(council);
            vault.cancelBorrowerChange(account);
        }
        if (vault.paused()) {
            vm.prank(council);
            vault.unpause();
        }
    }

    /// @dev What the stolen keys did move: to the borrower, or to the sale address.
    function outcome(bool toBorrower) public view returns (uint256) {
        return toBorrower ? alice.balance : saleAddress.balance;
    }

    function checkLoss() public view {
        _eq(thief.balance, 0, "the thief owns collateral");
        _eq(vault.balanceOf(vault.accountOf(LOAN, thief)), 0, "the thief's account was credited");
        _true(vault.borrowerOf(account) == alice, "the borrower's address changed");
        _true(vault.saleAddress() == saleAddress, "the sale address changed");
        _eq(outcome(true) + outcome(false) + vault.balanceOf(account), 300 ether, "something is gone");
        if (!holds(collateralAgent)) _eq(vault.balanceOf(account), 300 ether, "moved without the agent's key");
        if (!holds(saleRecorder)) _eq(outcome(false), 0, "sold without the recorder's key");
    }

    function _do(address sender, address target, bytes memory data) private {
        vm.prank(sender);
        (bool ok,) = target.call(data);
        ok; // what is not allowed is refused; what was allowed is judged by the check
    }
}

contract VaultThiefInvariants {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_TEST = true;
    VaultThief private _handler;

    function setUp() public {
        _handler = new VaultThief();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        bytes4[] memory f = new bytes4[](3);
        (f[0], f[1], f[2]) = (_handler.steal.selector, _handler.act.selector, _handler.wait.selector);
        list[0] = FuzzSelector(address(_handler), f);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_OneOrTwoStolenKeysTakeNoCollateral() public view {
        _handler.checkLoss();
    }

    /// @dev Each pair on a fresh platform: every act with either key, twice, days apart.
    function test_EveryKeyAndOrderedPairInTurnTakesNoCollateral() public {
        bool sold;
        bool released;
        VaultThief scene = _handler;
        uint256 fresh = VM.snapshotState();
        for (uint256 i = 0; i < 64; ++i) {
            scene.steal(i / 8, i % 8);
            for (uint8 n = 0; n < 96; ++n) {
                scene.act(n / 16, n % 16, 10 ether, 1);
                if (n % 16 == 15) scene.wait(1 days);
            }
            scene.checkLoss();
            // The thief is a real one: the keys that may move collateral to where it may go did.
            if (scene.outcome(false) != 0) sold = true;
            if (scene.outcome(true) != 0) released = true;
            VM.revertToState(fresh);
        }
        require(sold && released, "the drill tried nothing");
    }
}
