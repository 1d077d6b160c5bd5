// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInvestorSBT} from "../src/interfaces/IInvestorSBT.sol";
import {ISecurityToken} from "../src/interfaces/ISecurityToken.sol";
import {Base} from "./Base.sol";

/// @dev The one property the portal's pre-check rests on: what the view says is what the transfer does, whatever the state.
contract GateTest is Base {
    uint256 private _seed;
    address[] private _people;

    function testFuzz_ViewAndTransferAgree(uint256 seed) public {
        _seed = seed;
        _people = [alice, bob, carol, thief, address(0)];
        _randomTerms();
        _randomHolders();
        for (uint256 i = 0; i < 4; ++i) {
            _randomChange();
        }
        for (uint256 i = 0; i < 6; ++i) {
            _compare(_anyone(), _anyone());
            if (_one(4)) _randomChange();
        }
    }

    // ------------------------------------------------------------------------------------------------------- the comparison

    function _compare(address from, address to) private {
        uint256 amount = _randomAmount(from);
        uint8 code = token.detectTransferRestriction(from, to, amount);
        bool canTransfer = token.canTransfer(from, to, amount);
        bool eligible = token.canSend(from) && token.canReceive(to);
        uint256 sent = token.balanceOf(from);
        uint256 received = token.balanceOf(to);

        vm.prank(from);
        (bool ok, bytes memory result) = address(token).call(abi.encodeCall(token.transfer, (to, amount)));

        _true(ok == (code == 0), "the view says 0 if and only if the transfer succeeds");
        _true(
            !ok || (canTransfer && eligible),
            "ERC-7943: nothing succeeds that canTransfer, canSend or canReceive denies"
        );
        _true(!canTransfer || code == 0 || code == 31, "canTransfer leaves only the balance aside");
        if (ok) {
            _eq(token.balanceOf(from), sent - amount, "sender");
            _eq(token.balanceOf(to), received + amount, "receiver");
        } else {
            bytes memory expected = abi.encodeWithSelector(ISecurityToken.SecurityToken_Restricted.selector, code);
            _true(keccak256(result) == keccak256(expected), "it reverts with the code the view gave");
        }
        _true(bytes(token.messageForTransferRestriction(code)).length != 0, "every code has its sentence");
    }

    // ---------------------------------------------------------------------------------------------------------- random state

    function _randomTerms() private {
        ISecurityToken.Terms memory terms = _terms();
        terms.qiiOnly = _one(5);
        terms.holderCap = _one(3) ? uint32(_below(4)) : 0;
        terms.minimumLotUnits = _one(3) ? 1 + _below(20) : 1;
        terms.wholeBalanceOnly = _one(6);
        terms.lockUpUntil = _one(5) ? uint48(START + _below(5 days)) : 0;
        token = _deployToken(terms);
    }

    function _randomHolders() private {
        for (uint256 i = 0; i < 3; ++i) {
            IInvestorSBT.Attestation memory attestation = _attestation(_people[i]);
            if (_one(2)) attestation.categories = QII;
            if (_one(4)) attestation.expiresAt = uint48(_now() + ACTIVATION + 1 + _below(3 days));
            _issue(attestation);
        }
        _skip(ACTIVATION);
        for (uint256 i = 0; i < 3; ++i) {
            if (!_one(6)) _try(agent, address(token), abi.encodeCall(token.admit, (_list(_people[i]))));
            if (!_one(4)) _try(agent, address(token), abi.encodeCall(token.mint, (_people[i], 1 + _below(100))));
        }
    }

    function _randomChange() private {
        uint256 kind = _below(16);
        address person = _anyone();
        if (kind == 0) {
            _try(tokenGuardian, address(token), abi.encodeCall(token.pause, ()));
        } else if (kind == 1) {
            _try(council, address(token), abi.encodeCall(token.unpause, ()));
        } else if (kind == 2) {
            _try(sbtGuardian, address(sbt), abi.encodeCall(sbt.suspend, (person)));
        } else if (kind == 3) {
            _try(council, address(sbt), abi.encodeCall(sbt.reinstate, (person)));
        } else if (kind == 4) {
            _try(issuer, address(sbt), abi.encodeCall(sbt.revoke, (person)));
        } else if (kind == 5) {
            _try(sbtGuardian, address(sbt), abi.encodeCall(sbt.distrust, (issuer, uint48(_now() - _below(3 days)))));
        } else if (kind == 6) {
            _try(sbtGuardian, address(sbt), abi.encodeCall(sbt.distrust, (attestor, 0)));
        } else if (kind == 7) {
            _try(council, address(sbt), abi.encodeCall(sbt.restoreTrust, (_one(2) ? issuer : attestor)));
        } else if (kind == 8) {
            _try(agent, address(token), abi.encodeCall(token.dismiss, (_list(person))));
        } else if (kind == 9) {
            _try(agent, address(token), abi.encodeCall(token.admit, (_list(person))));
        } else if (kind == 10) {
            _try(agent, address(token), abi.encodeCall(token.freeze, (person, _randomAmount(person))));
        } else if (kind == 11) {
            _window();
        } else if (kind == 12) {
            _skip(_below(2 days));
        } else if (kind == 13) {
            _reissue(person);
        } else if (kind == 14) {
            _secondWalletRecovery(person);
        } else {
            _try(agent, address(token), abi.encodeCall(token.mint, (person, 1 + _below(50))));
        }
    }

    function _window() private {
        uint48 from = uint48(_now() + _below(2) * _below(1 days));
        _try(agent, address(token), abi.encodeCall(token.setTransferFreeze, (from, from + 1 + uint48(_below(3 days)))));
    }

    function _reissue(address person) private {
        IInvestorSBT.Attestation memory attestation = _attestation(person);
        bytes memory signature = _sign(ATTESTOR_KEY, attestation);
        _try(issuer, address(sbt), abi.encodeCall(sbt.issue, (attestation, attestor, signature)));
    }

    function _secondWalletRecovery(address person) private {
        address wallet = address(uint160(uint256(keccak256(abi.encode(person)))));
        IInvestorSBT.Attestation memory attestation = _attestation(wallet);
        attestation.subject = sbt.subjectOf(person);
        bytes memory signature = _sign(ATTESTOR_KEY, attestation);
        _try(issuer, address(sbt), abi.encodeCall(sbt.issue, (attestation, attestor, signature)));
        _try(agent, address(token), abi.encodeCall(token.announceRecovery, (person, wallet)));
    }

    function _randomAmount(address from) private returns (uint256) {
        uint256 balance = token.balanceOf(from);
        uint256 kind = _below(7);
        if (kind == 0) return balance;
        if (kind == 1) return balance + 1;
        if (kind == 2) return token.unfrozenBalanceOf(from);
        if (kind == 3) return 0;
        if (kind == 4) return type(uint256).max;
        return _below(2 * balance + 2);
    }

    // ------------------------------------------------------------------------------------------------------------- helpers

    function _below(uint256 bound) private returns (uint256) {
        _seed = uint256(keccak256(abi.encode(_seed)));
        return _seed % bound;
    }

    function _one(uint256 in_) private returns (bool) {
        return _below(in_) == 0;
    }

    function _anyone() private returns (address) {
        return _people[_below(3) == 0 ? _below(5) : _below(2)];
    }

    function _list(address holder) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = holder;
    }

    function _try(address sender, address target, bytes memory data) private {
        vm.prank(sender);
        (bool ok,) = target.call(data);
        ok; // a change the state does not allow is no change
    }
}
