// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CollateralVault} from "../src/CollateralVault.sol";
import {DepositForwarder} from "../src/DepositForwarder.sol";
import {FixedAuthority} from "../src/FixedAuthority.sol";
import {ICollateralVault} from "../src/interfaces/ICollateralVault.sol";
import {Base} from "./Base.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";

/// @dev Puts ETH where no code is asked.
contract Force {
    constructor(address payable target) payable {
        selfdestruct(target);
    }
}

/// @dev Pays from inside a contract, as an exchange's hot wallet does.
contract Payer {
    function pay(address target, uint256 amount) external returns (bool ok) {
        (ok,) = target.call{value: amount}("");
    }

    function payWithLittleGas(address target, uint256 amount) external returns (bool ok) {
        (ok,) = target.call{value: amount, gas: 0}(""); // the stipend of 2,300
    }

    receive() external payable {}
}

/// @dev A borrower's wallet that tries to be paid twice, or refuses to be paid.
contract Wallet {
    CollateralVault private immutable _vault;
    bytes32 public account;
    bytes32 public releaseId;
    bool public refuses;
    bool public gotIn;

    constructor(CollateralVault vault_) {
        _vault = vault_;
    }

    function prepare(bytes32 account_, bytes32 releaseId_) external {
        (account, releaseId) = (account_, releaseId_);
    }

    function refuse(bool on) external {
        refuses = on;
    }

    receive() external payable {
        require(!refuses, "no");
        if (releaseId == 0) return;
        (gotIn,) = address(_vault).call(abi.encodeCall(_vault.executeRelease, (account, releaseId)));
    }
}

contract Coin is ERC20("Coin", "COIN") {
    constructor(address holder) {
        _mint(holder, 1_000);
    }
}

contract CollateralVaultTest is Base {
    bytes32 internal constant LOAN = "loan 1";
    bytes32 internal constant R = "release 1";
    bytes32 internal constant S = "sale 1";
    bytes32 internal account;
    address internal at;

    function setUp() public override {
        super.setUp();
        _deployVault();
        account = vault.open(LOAN, alice);
        at = vault.depositAddressOf(account);
        vm.deal(alice, 1_000 ether);
    }

    // ---------------------------------------------------------------------------------------------------------- actions

    function _deposit(uint256 amount) internal {
        vm.prank(alice);
        vault.deposit{value: amount}(account);
    }

    function _propose(uint256 amount) internal {
        vm.prank(collateralAgent);
        vault.proposeRelease(account, R, amount);
    }

    function _release() internal {
        vm.prank(collateralAgent);
        vault.executeRelease(account, R);
    }

    function _record(uint256 amount) internal {
        vm.prank(saleRecorder);
        vault.recordSale(account, S, amount, uint48(_now() + 1 hours));
    }

    function _sell(uint256 amount) internal {
        vm.prank(collateralAgent);
        vault.executeSale(account, S, amount);
    }

    function _announce(address next) internal {
        bytes memory data = abi.encodeCall(vault.announceBorrowerChange, (account, next));
        vm.prank(controller);
        manager.schedule(address(vault), data, 0);
        _skip(CONTROLLER_DELAY);
        address present = vault.borrowerOf(account);
        vm.expectEmit(address(vault));
        emit ICollateralVault.BorrowerChangeAnnounced(account, present, next, uint48(_now() + NOTICE));
        _call(controller, address(vault), data);
    }

    function _pay(address from, address to, uint256 amount) internal returns (bool ok) {
        vm.prank(from, from);
        (ok,) = to.call{value: amount}("");
    }

    // --------------------------------------------------------------------------------------------------- opening, paying in

    function test_Open_BindsTheAddressToLoanAndBorrower() public view {
        _eq(uint256(account), uint256(keccak256(abi.encode(LOAN, alice))), "account");
        _true(vault.borrowerOf(account) == alice, "borrower");
        _true(at.code.length != 0, "the address has code");
        _true(DepositForwarder(payable(at)).account() == account, "and belongs to the account");
    }

    function test_Open_AgainChangesNothing() public {
        _deposit(3 ether);
        vm.prank(thief);
        _true(vault.open(LOAN, alice) == account, "the same");
        _eq(vault.balanceOf(account), 3 ether, "balance");
        _true(vault.borrowerOf(account) == alice, "borrower");
    }

    function test_Open_BySomebodyElseForTheSameLoanIsAnotherAccount() public {
        vm.prank(thief);
        bytes32 other = vault.open(LOAN, thief);
        _true(other != account && vault.depositAddressOf(other) != at, "another address");
        _true(_pay(alice, at, 1 ether), "paid");
        _eq(vault.balanceOf(other), 0, "the thief's account");
        _eq(vault.balanceOf(account), 1 ether, "the borrower's");
    }

    function test_RevertWhen_TheBorrowerCannotBePaid() public {
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAddress.selector, address(0)));
        vault.open(LOAN, address(0));
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAddress.selector, address(vault))
        );
        vault.open(LOAN, address(vault));
    }

    function test_Deposit_ByAnybodyIsTheLoans() public {
        vm.deal(bob, 1 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(account, bob, 1 ether, bob);
        vm.prank(bob, bob);
        vault.deposit{value: 1 ether}(account);
        _eq(vault.balanceOf(account), 1 ether, "balance");
        _eq(vault.totalCollateral(), 1 ether, "total");
    }

    function test_RevertWhen_DepositingNothingOrToNoAccount() public {
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 0));
        vault.deposit(account);
        vm.deal(address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NoAccount.selector, bytes32("none")));
        vault.deposit{value: 1}("none");
    }

    function test_RevertWhen_PlainEthIsSentToTheVault() public {
        _true(!_pay(alice, address(vault), 1 ether), "refused");
        _eq(alice.balance, 1_000 ether, "kept");
    }

    function test_DepositAddress_CreditsAPlainPaymentWithWhoPaid() public {
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(account, alice, 2 ether, alice);
        _true(_pay(alice, at, 2 ether), "paid");
        _eq(vault.balanceOf(account), 2 ether, "balance");
        _eq(at.balance, 0, "nothing stays");
    }

    function test_DepositAddress_CreditsWhatAContractPays() public {
        Payer payer = new Payer();
        vm.deal(address(payer), 2 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(account, address(payer), 2 ether, bob);
        vm.prank(bob, bob);
        _true(payer.pay(at, 2 ether), "paid");
        _eq(vault.balanceOf(account), 2 ether, "balance");
    }

    function test_DepositAddress_LeavesThePayerWhatItHasNoGasFor() public {
        Payer payer = new Payer();
        vm.deal(address(payer), 2 ether);
        _true(!payer.payWithLittleGas(at, 2 ether), "refused");
        _eq(address(payer).balance, 2 ether, "kept");
    }

    function test_DepositAddress_KeepsWhatCameBeforeItWasOpened() public {
        bytes32 early = vault.accountOf("loan 2", bob);
        address there = vault.depositAddressOf(early);
        _true(_pay(alice, there, 5 ether), "an address without code takes it from any wallet");
        _true(vault.borrowerOf(early) == address(0), "not open");
        vm.expectEmit(address(vault));
        emit ICollateralVault.AccountOpened(early, "loan 2", bob, there);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(early, address(0), 5 ether, thief);
        vm.prank(thief, thief);
        vault.open("loan 2", bob);
        _eq(vault.balanceOf(early), 5 ether, "taken in");
        _eq(there.balance, 0, "nothing left behind");
    }

    function test_DepositAddress_AnybodySweepsWhatWasForcedIn() public {
        vm.deal(address(this), 1 ether);
        new Force{value: 1 ether}(payable(at));
        _eq(at.balance, 1 ether, "there without having been received");
        vm.prank(thief);
        DepositForwarder(payable(at)).sweep();
        _eq(vault.balanceOf(account), 1 ether, "credited");
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 0));
        DepositForwarder(payable(at)).sweep();
    }

    function test_DepositAddress_OfNoAccountTakesNothing() public {
        address code = vault.forwarder();
        _true(!_pay(alice, code, 1 ether), "the code behind the clones refuses");
        vm.expectRevert();
        DepositForwarder(payable(code)).sweep();
    }

    function test_RevertWhen_SomebodyElseSaysWhoPaid() public {
        vm.deal(thief, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_NotTheDepositAddress.selector, account, thief)
        );
        vm.prank(thief);
        vault.depositFrom{value: 1 ether}(account, alice);
        // Nor the deposit address of another account.
        bytes32 other = vault.open(LOAN, thief);
        address there = vault.depositAddressOf(other);
        vm.deal(there, 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_NotTheDepositAddress.selector, account, there)
        );
        vm.prank(there);
        vault.depositFrom{value: 1 ether}(account, alice);
    }

    function test_WrongAsset_GoesBackToTheBorrowerWhoeverAsks() public {
        Coin coin = new Coin(alice);
        vm.prank(alice);
        _true(coin.transfer(at, 400), "sent by mistake");
        vm.prank(thief);
        DepositForwarder(payable(at)).returnToken(IERC20(address(coin)));
        _eq(coin.balanceOf(alice), 1_000, "back");
        _eq(vault.balanceOf(account), 0, "never collateral");
    }

    function testFuzz_Deposits_AddUp(uint96 first, uint96 second, bool direct) public {
        first = uint96(_bound(first, 1, 1e27));
        second = uint96(_bound(second, 1, 1e27));
        vm.deal(alice, uint256(first) + second);
        if (direct) _deposit(first);
        else _true(_pay(alice, at, first), "paid");
        _true(_pay(alice, at, second), "paid");
        _eq(vault.balanceOf(account), uint256(first) + second, "balance");
        _eq(vault.totalCollateral(), address(vault).balance, "total");
    }

    // --------------------------------------------------------------------------------------------------------------- release

    function test_Release_GoesToTheBorrowerAfterTheDelay() public {
        _deposit(10 ether);
        uint256 before = alice.balance;
        vm.expectEmit(address(vault));
        emit ICollateralVault.ReleaseProposed(account, R, 4 ether, uint48(_now() + RELEASE_DELAY));
        _propose(4 ether);
        _skip(RELEASE_DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_TooEarly.selector, uint48(START + RELEASE_DELAY))
        );
        _release();
        _skip(1);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Released(account, R, alice, 4 ether);
        _release();
        _eq(alice.balance, before + 4 ether, "paid");
        _eq(vault.balanceOf(account), 6 ether, "left");
        _eq(vault.totalCollateral(), 6 ether, "total");
    }

    function test_RevertWhen_AReleaseIsMadeTwiceOrItsIdUsedAgain() public {
        _deposit(10 ether);
        _propose(4 ether);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_IdUsed.selector, R));
        _propose(4 ether);
        _skip(RELEASE_DELAY);
        _release();
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, R));
        _release();
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_IdUsed.selector, R));
        _propose(4 ether);
        _eq(vault.releaseOf(account, R).amount, 0, "nothing open");
    }

    function test_RevertWhen_TheGuardianCancelledTheRelease() public {
        _deposit(10 ether);
        _propose(4 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.ReleaseCancelled(account, R);
        vm.prank(tokenGuardian);
        vault.cancelRelease(account, R);
        _skip(RELEASE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, R));
        _release();
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, R));
        vm.prank(tokenGuardian);
        vault.cancelRelease(account, R);
    }

    function test_RevertWhen_TheAgentTookTheReleaseBack() public {
        _deposit(10 ether);
        _propose(4 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.ReleaseCancelled(account, R);
        vm.prank(collateralAgent);
        vault.withdrawRelease(account, R);
        _skip(RELEASE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, R));
        _release();
    }

    function test_RevertWhen_TheReleaseLapsed() public {
        _deposit(10 ether);
        _propose(4 ether);
        uint48 lapses = uint48(_now() + RELEASE_DELAY + 7 days);
        vm.warp(lapses);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_Expired.selector, lapses));
        _release();
        vm.warp(lapses - 1);
        _release();
        _eq(vault.balanceOf(account), 6 ether, "at the last second it counts");
    }

    function test_RevertWhen_ReleasingMoreThanThereIs() public {
        _deposit(10 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICollateralVault.CollateralVault_AboveBalance.selector, account, 10 ether, 10 ether + 1
            )
        );
        _propose(10 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 0));
        _propose(0);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NoAccount.selector, bytes32("none")));
        vm.prank(collateralAgent);
        vault.proposeRelease("none", R, 1);
        // A sale in between takes precedence.
        _propose(8 ether);
        _record(5 ether);
        _sell(5 ether);
        _skip(RELEASE_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_AboveBalance.selector, account, 5 ether, 8 ether)
        );
        _release();
    }

    function test_RevertWhen_TheBorrowersWalletRefusesOrComesBackIn() public {
        Wallet wallet = new Wallet(vault);
        account = vault.open(LOAN, address(wallet));
        _deposit(10 ether);
        _propose(4 ether);
        _skip(RELEASE_DELAY);
        wallet.refuse(true);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_PaymentFailed.selector, address(wallet))
        );
        _release();
        _eq(vault.balanceOf(account), 10 ether, "nothing happened");
        wallet.refuse(false);
        // Even if the wallet itself were the agent, the second time finds nothing.
        manager.grantRole(9, address(wallet), 0);
        wallet.prepare(account, R);
        _release();
        _true(!wallet.gotIn(), "not twice");
        _eq(address(wallet).balance, 4 ether, "once");
        _eq(vault.balanceOf(account), 6 ether, "once in the books");
    }

    function test_ReleaseLimit_HoldsWhatAKeyCanMoveADay() public {
        _deposit(500 ether);
        _propose(RELEASE_LIMIT / 2 + 1);
        _skip(RELEASE_DELAY);
        vm.expectRevert(RateLimiter.RateLimitExceeded.selector);
        _release();
        vm.prank(collateralAgent);
        vault.proposeRelease(account, "release 2", RELEASE_LIMIT / 2);
        _skip(RELEASE_DELAY);
        vm.prank(collateralAgent);
        vault.executeRelease(account, "release 2");
        _eq(vault.balanceOf(account), 500 ether - RELEASE_LIMIT / 2, "half at once");
    }

    function testFuzz_ReleaseLimit_HoldsOverAnyDay(uint256 seed) public {
        _deposit(900 ether);
        uint256 paid;
        uint256 begins = _now() + RELEASE_DELAY;
        for (uint256 i = 0; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 amount = 1 + seed % 60 ether;
            if (amount > vault.balanceOf(account)) continue;
            vm.prank(collateralAgent);
            vault.proposeRelease(account, bytes32(i + 1), amount);
        }
        vm.warp(begins);
        for (uint256 i = 0; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _skip(seed % 2 hours);
            if (_now() >= begins + 1 days) break;
            uint256 amount = vault.releaseOf(account, bytes32(i + 1)).amount;
            vm.prank(collateralAgent);
            (bool ok,) = address(vault).call(abi.encodeCall(vault.executeRelease, (account, bytes32(i + 1))));
            if (ok) paid += amount;
        }
        _true(paid <= RELEASE_LIMIT, "more than the limit within a day");
    }

    // ------------------------------------------------------------------------------------------------------------------ sale

    function test_Sale_GoesToTheSaleAddressWithinWhatWasRecorded() public {
        _deposit(10 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.SaleRecorded(account, S, 5 ether, uint48(_now() + 1 hours));
        _record(5 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Sold(account, S, saleAddress, 3 ether);
        _sell(3 ether);
        _sell(1 ether);
        _eq(saleAddress.balance, 4 ether, "sold");
        _eq(vault.balanceOf(account), 6 ether, "left");
        _eq(vault.saleOf(account, S).remaining, 1 ether, "may still be sold");
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_AboveSale.selector, 1 ether, 1 ether + 1)
        );
        _sell(1 ether + 1);
        _sell(1 ether);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, S));
        _sell(1);
    }

    function test_RevertWhen_NoSaleWasRecordedForThisAccount() public {
        _deposit(10 ether);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, S));
        _sell(1);
        bytes32 other = vault.open("loan 2", bob);
        vm.prank(saleRecorder);
        vault.recordSale(other, S, 5 ether, uint48(_now() + 1 hours));
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, S));
        _sell(1);
    }

    function test_RevertWhen_TheSaleExpired() public {
        _deposit(10 ether);
        _record(5 ether);
        uint48 ends = uint48(_now() + 1 hours);
        vm.warp(ends - 1);
        _sell(1 ether);
        vm.warp(ends);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_Expired.selector, ends));
        _sell(1 ether);
    }

    function test_RevertWhen_TheSaleWasCancelledOrWithdrawn() public {
        _deposit(10 ether);
        _record(5 ether);
        vm.expectEmit(address(vault));
        emit ICollateralVault.SaleCancelled(account, S);
        vm.prank(tokenGuardian);
        vault.cancelSale(account, S);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, S));
        _sell(1);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_IdUsed.selector, S));
        _record(5 ether);
        vm.prank(saleRecorder);
        vault.recordSale(account, "sale 2", 5 ether, uint48(_now() + 1 hours));
        vm.prank(saleRecorder);
        vault.withdrawSale(account, "sale 2");
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, bytes32("sale 2"))
        );
        vm.prank(collateralAgent);
        vault.executeSale(account, "sale 2", 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, bytes32("sale 2"))
        );
        vm.prank(saleRecorder);
        vault.withdrawSale(account, "sale 2");
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NothingOpen.selector, S));
        vm.prank(tokenGuardian);
        vault.cancelSale(account, S);
        // One wei left to sell is something open.
        vm.prank(saleRecorder);
        vault.recordSale(account, "sale 3", 1, uint48(_now() + 1 hours));
        vm.prank(saleRecorder);
        vault.withdrawSale(account, "sale 3");
        vm.prank(collateralAgent);
        vault.proposeRelease(account, R, 1);
        vm.prank(collateralAgent);
        vault.withdrawRelease(account, R);
    }

    function test_TheWholeBalanceIsReleasedOrSold() public {
        _deposit(10 ether);
        _propose(10 ether);
        _skip(RELEASE_DELAY);
        _release();
        _eq(vault.balanceOf(account), 0, "released");
        _deposit(10 ether);
        _record(10 ether);
        _sell(10 ether);
        _eq(vault.balanceOf(account), 0, "sold");
        _eq(vault.totalCollateral(), 0, "nothing is left");
    }

    function test_RevertWhen_ASaleMakesNoSense() public {
        _deposit(10 ether);
        uint48[2] memory ends = [uint48(_now()), uint48(_now() + 7 days + 1)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidExpiry.selector, ends[i]));
            vm.prank(saleRecorder);
            vault.recordSale(account, S, 1, ends[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 0));
        _record(0);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 1 << 96));
        _record(1 << 96);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NoAccount.selector, bytes32("none")));
        vm.prank(saleRecorder);
        vault.recordSale("none", S, 1, uint48(_now() + 1));
        vm.prank(saleRecorder);
        vault.recordSale(account, S, type(uint96).max, uint48(_now() + 7 days));
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAmount.selector, 0));
        _sell(0);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICollateralVault.CollateralVault_AboveBalance.selector, account, 10 ether, 10 ether + 1
            )
        );
        _sell(10 ether + 1);
    }

    function test_SaleLimit_HoldsWhatTwoKeysCanSellADay() public {
        _deposit(500 ether);
        _record(500 ether);
        _sell(SALE_LIMIT / 2);
        vm.expectRevert(RateLimiter.RateLimitExceeded.selector);
        _sell(1 ether);
        _skip(30 minutes);
        _sell(1 ether);
    }

    function testFuzz_Sale_NeverTakesMoreThanRecordedOrHeld(uint96 held, uint96 cap, uint96[6] memory amounts) public {
        held = uint96(_bound(held, 1, 100 ether));
        cap = uint96(_bound(cap, 1, 150 ether));
        _deposit(held);
        _record(cap);
        for (uint256 i = 0; i < amounts.length; ++i) {
            vm.prank(collateralAgent);
            (bool ok,) =
                address(vault).call(abi.encodeCall(vault.executeSale, (account, S, _bound(amounts[i], 0, 80 ether))));
            ok; // refused or not, the sums below must hold
        }
        _true(saleAddress.balance <= cap && saleAddress.balance <= held, "too much was sold");
        _eq(vault.balanceOf(account), held - saleAddress.balance, "left");
        _eq(vault.saleOf(account, S).remaining, cap - saleAddress.balance, "remaining");
    }

    // ------------------------------------------------------------------------------------------------ the borrower's address

    function test_BorrowerChange_TakesEffectAfterDelayAndNotice() public {
        _deposit(10 ether);
        _announce(bob);
        uint48 due = uint48(_now() + NOTICE);
        _eq(vault.borrowerChangeOf(account).effectiveAt, due, "announced");
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_TooEarly.selector, due));
        vault.applyBorrowerChange(account);
        _true(vault.borrowerOf(account) == alice, "still");
        vm.warp(due);
        vm.expectEmit(address(vault));
        emit ICollateralVault.BorrowerChanged(account, alice, bob);
        vault.applyBorrowerChange(account);
        _propose(4 ether);
        _skip(RELEASE_DELAY);
        _release();
        _eq(bob.balance, 4 ether, "released to the new address");
        _true(_pay(alice, at, 1 ether), "the deposit address stays");
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vault.applyBorrowerChange(account);
    }

    function test_RevertWhen_TheControllerDidNotWaitInTheManager() public {
        vm.expectRevert();
        vm.prank(controller);
        vault.announceBorrowerChange(account, bob);
        // Even a controller whom nobody made wait waits here.
        manager.grantRole(5, thief, 0);
        vm.prank(thief);
        vault.announceBorrowerChange(account, thief);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_TooEarly.selector, uint48(_now() + NOTICE))
        );
        vault.applyBorrowerChange(account);
    }

    function test_RevertWhen_TheOldAddressObjected() public {
        _announce(bob);
        vm.expectRevert(
            abi.encodeWithSelector(ICollateralVault.CollateralVault_NotTheBorrower.selector, account, thief)
        );
        vm.prank(thief);
        vault.objectToBorrowerChange(account);
        vm.expectEmit(address(vault));
        emit ICollateralVault.BorrowerChangeObjected(account, alice, bob);
        vm.prank(alice);
        vault.objectToBorrowerChange(account);
        _skip(NOTICE);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_ChangeObjected.selector, account));
        vault.applyBorrowerChange(account);
        // It cannot be announced away.
        bytes memory data = abi.encodeCall(vault.announceBorrowerChange, (account, thief));
        vm.prank(controller);
        manager.schedule(address(vault), data, 0);
        _skip(CONTROLLER_DELAY);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_ChangePending.selector, bob));
        _call(controller, address(vault), data);
    }

    function test_RevertWhen_TheCouncilCancelledTheChange() public {
        _announce(bob);
        vm.expectEmit(address(vault));
        emit ICollateralVault.BorrowerChangeCancelled(account, bob);
        vm.prank(council);
        vault.cancelBorrowerChange(account);
        _skip(NOTICE);
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vault.applyBorrowerChange(account);
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vm.prank(council);
        vault.cancelBorrowerChange(account);
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vm.prank(alice);
        vault.objectToBorrowerChange(account);
    }

    function test_RevertWhen_TheNextBorrowersAddressCannotBe() public {
        manager.grantRole(5, address(this), 0);
        address[3] memory wrong = [address(0), address(vault), alice];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAddress.selector, wrong[i]));
            vault.announceBorrowerChange(account, wrong[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_NoAccount.selector, bytes32("none")));
        vault.announceBorrowerChange("none", bob);
    }

    // ------------------------------------------------------------------------------------------- the sale address, settings

    function test_SaleAddress_ChangesAfterNotice() public {
        _deposit(10 ether);
        _record(5 ether);
        uint48 due = uint48(_now() + NOTICE);
        vm.expectEmit(address(vault));
        emit ICollateralVault.SaleAddressAnnounced(bob, due);
        vault.announceSaleAddress(bob);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_ChangePending.selector, bob));
        vault.announceSaleAddress(carol);
        vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_TooEarly.selector, due));
        vault.applySaleAddress();
        _sell(1 ether);
        _eq(saleAddress.balance, 1 ether, "still the old one");
        vm.warp(due);
        vm.expectEmit(address(vault));
        emit ICollateralVault.SaleAddressChanged(saleAddress, bob);
        vault.applySaleAddress();
        _true(vault.saleAddress() == bob && vault.saleAddressChange().effectiveAt == 0, "changed");
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vault.applySaleAddress();
    }

    function test_RevertWhen_TheCouncilCancelledTheSaleAddress() public {
        vault.announceSaleAddress(bob);
        vm.expectEmit(address(vault));
        emit ICollateralVault.SaleAddressCancelled(bob);
        vm.prank(council);
        vault.cancelSaleAddress();
        _skip(NOTICE);
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vault.applySaleAddress();
        vm.expectRevert(ICollateralVault.CollateralVault_NoChange.selector);
        vm.prank(council);
        vault.cancelSaleAddress();
    }

    function test_RevertWhen_TheNextSaleAddressCannotBe() public {
        address[3] memory wrong = [address(0), address(vault), saleAddress];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ICollateralVault.CollateralVault_InvalidAddress.selector, wrong[i]));
            vault.announceSaleAddress(wrong[i]);
        }
    }

    function test_VaultSettings_AreReadBackAndBounded() public {
        _eq(vault.releaseDelay(), RELEASE_DELAY, "delay");
        _eq(vault.noticePeriod(), NOTICE, "notice");
        vm.expectEmit(address(vault));
        emit ICollateralVault.VaultLimitsSet(10 ether, type(uint96).max - 1);
        vault.setLimits(10 ether, type(uint96).max - 1);
        _eq(vault.releaseLimitPerDay(), 10 ether, "release limit");
        _eq(vault.saleLimitPerDay(), type(uint96).max - 1, "sale limit");
        vault.setLimits(2, 2);
        vault.setLimits(type(uint96).max, type(uint96).max);
        uint256[2][4] memory wrong =
            [[uint256(1), 2], [uint256(2), 1], [uint256(1) << 96, 2], [uint256(2), uint256(1) << 96]];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(ICollateralVault.CollateralVault_InvalidSettings.selector);
            vault.setLimits(wrong[i][0], wrong[i][1]);
        }
    }

    function test_RevertWhen_DeployedWithoutDelaysOrASaleAddress() public {
        uint32[2][4] memory wrong =
            [[uint32(0), 1], [uint32(1), 0], [uint32(90 days + 1), 1], [uint32(1), uint32(90 days + 1)]];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(ICollateralVault.CollateralVault_InvalidSettings.selector);
            this.deployVault(saleAddress, wrong[i][0], wrong[i][1]);
        }
        vm.expectRevert(ICollateralVault.CollateralVault_InvalidSettings.selector);
        this.deployVault(address(0), 1, 1);
        vm.expectEmit();
        emit ICollateralVault.SaleAddressChanged(address(0), saleAddress);
        vm.expectEmit();
        emit ICollateralVault.VaultLimitsSet(2, 2);
        CollateralVault edge = this.deployVault(saleAddress, 90 days, 90 days);
        _eq(edge.releaseDelay() + edge.noticePeriod(), 180 days, "the longest are accepted");
    }

    /// @dev A call of its own: see `deploy`.
    function deployVault(address saleAddress_, uint32 delay, uint32 notice) external returns (CollateralVault) {
        return new CollateralVault(address(manager), saleAddress_, ICollateralVault.Safeguards(delay, notice, 2, 2));
    }

    function test_RevertWhen_TheVaultsManagerIsSwapped() public {
        vm.expectRevert(FixedAuthority.FixedAuthority_CannotChange.selector);
        vault.setAuthority(thief);
    }

    // ----------------------------------------------------------------------------------------------------------------- pause

    function test_VaultPause_StopsWhatLeavesAndNotWhatComesIn() public {
        _deposit(10 ether);
        _propose(4 ether);
        _record(4 ether);
        _skip(30 minutes);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Paused(tokenGuardian);
        vm.prank(tokenGuardian);
        vault.pause();
        _true(vault.paused(), "paused");
        vm.expectRevert(ICollateralVault.CollateralVault_Paused.selector);
        vm.prank(tokenGuardian);
        vault.pause();
        vm.expectRevert(ICollateralVault.CollateralVault_Paused.selector);
        _sell(1);
        vm.expectRevert(ICollateralVault.CollateralVault_Paused.selector);
        _propose(1);
        vm.expectRevert(ICollateralVault.CollateralVault_Paused.selector);
        _record(1);
        _skip(RELEASE_DELAY);
        vm.expectRevert(ICollateralVault.CollateralVault_Paused.selector);
        _release();
        _true(_pay(alice, at, 1 ether), "deposits go on");
        vm.prank(tokenGuardian);
        vault.cancelRelease(account, R);
        vm.expectEmit(address(vault));
        emit ICollateralVault.Unpaused(council);
        vm.prank(council);
        vault.unpause();
        vm.expectRevert(ICollateralVault.CollateralVault_NotPaused.selector);
        vm.prank(council);
        vault.unpause();
        _eq(vault.totalCollateral(), 11 ether, "the total outlives a pause");
    }

    // --------------------------------------------------------------------------------------------------- nothing to pledge by

    /// @dev Whoever calls whatever selector with whatever data: without a role nothing leaves.
    function testFuzz_NoCallOfAStrangerMovesCollateral(bytes4 selector, bytes memory data, address sender) public {
        vm.assume(sender != address(manager) && uint160(sender) > 1_000 && sender != at);
        vm.assume(sender != collateralAgent && sender != saleRecorder && sender != address(this));
        _deposit(10 ether);
        vm.prank(sender);
        (bool ok,) = address(vault).call(abi.encodePacked(selector, data));
        ok;
        _eq(vault.balanceOf(account), 10 ether, "books");
        _eq(address(vault).balance, 10 ether, "money");
    }
}
