// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedAuthority} from "./FixedAuthority.sol";
import {Roles} from "./Roles.sol";
import {IERC5192} from "./interfaces/IERC5192.sol";
import {IERC5484} from "./interfaces/IERC5484.sol";
import {IInvestorSBT} from "./interfaces/IInvestorSBT.sol";
import {DailyLimit} from "./libraries/DailyLimit.sol";
import {SbtWord, SbtWords} from "./libraries/SbtWord.sol";
import {Category, Standing} from "./libraries/Standing.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title InvestorSBT
/// @dev See {IInvestorSBT} for what each function promises.
contract InvestorSBT is ERC721, EIP712, FixedAuthority, IInvestorSBT, IERC5192, IERC5484 {
    using DailyLimit for RateLimiter.RefillingBucket;
    using Time for *;

    // ---------------------------------------------------------------------------------------------- constants, immutables

    bytes32 private constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(address holder,bytes32 subject,uint16 categories,uint48 expiresAt,bytes32 evidenceHash,uint256 nonce,uint48 deadline)"
    );

    /// @dev An SBT outlives no review: three years is the longest review interval, the rest is slack.
    uint48 private constant MAX_LIFETIME = 5 * 366 days;
    uint48 private constant MAX_DEADLINE = 30 days;
    uint32 private constant MAX_ACTIVATION_DELAY = 30 days;
    uint256 private constant MAX_ISSUANCE_LIMIT = 1_000_000;

    /// @dev Keys share a flag with those whose index is equal modulo this; a shared flag costs a second look, nothing else.
    uint256 private constant FLAGS = 64;

    // ------------------------------------------------------------------------------------------------------------ storage

    /// @dev What every check of a standing reads, in one slot.
    struct Shared {
        /// Bit i: some key whose index is i modulo FLAGS is distrusted.
        uint64 distrustFlags;
        uint48 lastTokenId;
        uint16 lastKey;
        bool issuancePaused;
        Time.Delay activationDelay;
    }

    Shared private _shared;
    mapping(address holder => SbtWord) private _sbts;
    mapping(address holder => bytes32) private _subjects;
    mapping(uint256 tokenId => address) private _holders;
    mapping(uint256 index => address) private _keys;
    mapping(address key => uint256) private _keyIndex;
    /// @dev Zero: trusted. Kept by address, so distrusting a key that never issued takes up no index.
    mapping(address key => uint48) private _distrustedSince;
    mapping(uint256 flag => uint256) private _distrustedPerFlag;
    mapping(bytes32 digest => bool) private _used;
    mapping(address attestor => mapping(uint256 nonce => bool)) private _voided;
    mapping(bytes32 codeHash => bool) private _allowedCode;
    RateLimiter.RefillingBucket private _issuance;

    // -------------------------------------------------------------------------------------------------------- constructor

    /// @param manager The AccessManager that says who holds which role; fixed.
    /// @param activationDelay_ Seconds from issue to effect.
    /// @param issuanceLimitPerDay_ How many issues and renewals any 24 hours may hold; at least 2.
    constructor(address manager, uint32 activationDelay_, uint256 issuanceLimitPerDay_)
        ERC721("Musubi Investor SBT", "MSBT")
        EIP712("Musubi InvestorSBT", "1")
        FixedAuthority(manager)
    {
        _checkActivationDelay(activationDelay_);
        _shared.activationDelay = activationDelay_.toDelay();
        emit ActivationDelaySet(activationDelay_, Time.timestamp());
        _setIssuanceLimit(issuanceLimitPerDay_);
    }

    // ------------------------------------------------------------------------------------------------------------ issuing

    /// @inheritdoc IInvestorSBT
    function issue(Attestation calldata attestation, address attestor, bytes calldata signature)
        external
        override
        restricted
    {
        address holder = attestation.holder;
        if (_sbts[holder].exists()) revert InvestorSBT_AlreadyIssued(holder);
        Shared memory shared = _shared;
        uint48 from = Time.timestamp() + shared.activationDelay.get();
        _checkAttestation(shared, attestation, from);
        _bindSubject(holder, attestation.subject);
        _spend(attestation, attestor, signature);

        uint256 tokenId = ++shared.lastTokenId;
        _sbts[holder] = _pack(shared, tokenId, from, attestation, attestor);
        _holders[tokenId] = holder;
        _shared = shared;

        emit Transfer(address(0), holder, tokenId);
        emit Locked(tokenId);
        emit Issued(address(0), holder, tokenId, BurnAuth.IssuerOnly);
        _emitSbtIssued(tokenId, from, attestation, attestor);
    }

    /// @inheritdoc IInvestorSBT
    function renew(Attestation calldata attestation, address attestor, bytes calldata signature)
        external
        override
        restricted
    {
        address holder = attestation.holder;
        SbtWord sbt = _existing(holder);
        Shared memory shared = _shared;
        uint48 from = _renewedFrom(shared, sbt, attestation.categories);
        _checkAttestation(shared, attestation, from);
        if (_subjects[holder] != attestation.subject) {
            revert InvestorSBT_SubjectMismatch(holder, _subjects[holder], attestation.subject);
        }
        _spend(attestation, attestor, signature);

        SbtWord renewed = _pack(shared, sbt.tokenId(), from, attestation, attestor);
        _sbts[holder] = sbt.isSuspended() ? renewed.suspend() : renewed;
        _shared = shared;

        _emitSbtRenewed(sbt.tokenId(), from, attestation, attestor);
    }

    /// @inheritdoc IInvestorSBT
    function voidAttestation(uint256 nonce) external override {
        _voided[msg.sender][nonce] = true;
        emit AttestationVoided(msg.sender, nonce);
    }

    // ----------------------------------------------------------------------------------------------------------- reducing

    /// @inheritdoc IInvestorSBT
    function suspend(address holder) external override restricted {
        SbtWord sbt = _existing(holder);
        if (sbt.isSuspended()) revert InvestorSBT_AlreadySuspended(holder);
        _sbts[holder] = sbt.suspend();
        emit SbtSuspended(holder, sbt.tokenId());
    }

    /// @inheritdoc IInvestorSBT
    function reinstate(address holder) external override restricted {
        SbtWord sbt = _existing(holder);
        if (!sbt.isSuspended()) revert InvestorSBT_NotSuspended(holder);
        _sbts[holder] = sbt.reinstate();
        emit SbtReinstated(holder, sbt.tokenId());
    }

    /// @inheritdoc IInvestorSBT
    function revoke(address holder) external override restricted {
        SbtWord sbt = _existing(holder);
        if (!sbt.isSuspended()) revert InvestorSBT_NotSuspended(holder);
        uint256 tokenId = sbt.tokenId();
        _sbts[holder] = SbtWord.wrap(0);
        delete _holders[tokenId];
        emit Transfer(holder, address(0), tokenId);
        emit SbtRevoked(holder, tokenId);
    }

    /// @inheritdoc IInvestorSBT
    function distrust(address key, uint48 since) external override restricted {
        if (key == address(0) || since > block.timestamp) revert InvestorSBT_InvalidDistrust(key, since);
        uint48 stored = since == 0 ? 1 : since; // zero means trusted; nothing was issued before second 1
        uint48 current = _distrustedSince[key];
        if (current != 0 && stored >= current) revert InvestorSBT_DistrustNotWider(key, current, since);
        _distrustedSince[key] = stored;
        uint256 index = _keyIndex[key];
        if (current == 0 && index != 0) {
            _distrustedPerFlag[index % FLAGS]++;
            _shared.distrustFlags |= uint64(1 << (index % FLAGS)); // fits: the flag is below 64
        }
        emit KeyDistrusted(key, since);
    }

    /// @inheritdoc IInvestorSBT
    function restoreTrust(address key) external override restricted {
        if (_distrustedSince[key] == 0) revert InvestorSBT_KeyTrusted(key);
        delete _distrustedSince[key];
        // A distrusted key gets no index, so a key that has one was counted when it was distrusted.
        uint256 index = _keyIndex[key];
        if (index != 0 && --_distrustedPerFlag[index % FLAGS] == 0) {
            _shared.distrustFlags &= ~uint64(1 << (index % FLAGS)); // fits: the flag is below 64
        }
        emit KeyTrustRestored(key);
    }

    /// @inheritdoc IInvestorSBT
    function pauseIssuance() external override restricted {
        if (_shared.issuancePaused) revert InvestorSBT_IssuancePaused();
        _shared.issuancePaused = true;
        emit IssuancePaused(msg.sender);
    }

    /// @inheritdoc IInvestorSBT
    function resumeIssuance() external override restricted {
        if (!_shared.issuancePaused) revert InvestorSBT_IssuanceNotPaused();
        _shared.issuancePaused = false;
        emit IssuanceResumed(msg.sender);
    }

    // ----------------------------------------------------------------------------------------------------------- settings

    /// @inheritdoc IInvestorSBT
    function setActivationDelay(uint32 delay) external override restricted {
        _checkActivationDelay(delay);
        uint48 effect;
        (_shared.activationDelay, effect) = _shared.activationDelay.withUpdate(delay, 0);
        emit ActivationDelaySet(delay, effect);
    }

    /// @inheritdoc IInvestorSBT
    function setIssuanceLimit(uint256 limitPerDay) external override restricted {
        _setIssuanceLimit(limitPerDay);
    }

    /// @inheritdoc IInvestorSBT
    function allowAttestorCode(bytes32 codeHash, bool allowed) external override restricted {
        _allowedCode[codeHash] = allowed;
        emit AttestorCodeAllowed(codeHash, allowed);
    }

    // -------------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IInvestorSBT
    function standingOf(address holder) external view override returns (uint8) {
        return _standing(_sbts[holder], _shared.distrustFlags);
    }

    /// @inheritdoc IInvestorSBT
    function isEffective(address holder) external view override returns (bool) {
        return _standing(_sbts[holder], _shared.distrustFlags) == Standing.EFFECTIVE;
    }

    /// @inheritdoc IInvestorSBT
    function profileOf(address holder)
        external
        view
        override
        returns (uint8 standing, uint256 tokenId, uint16 categories)
    {
        SbtWord sbt = _sbts[holder];
        return (_standing(sbt, _shared.distrustFlags), sbt.tokenId(), sbt.categories());
    }

    /// @inheritdoc IInvestorSBT
    function pairStanding(address from, address to)
        external
        view
        override
        returns (uint8 fromStanding, uint8 toStanding, uint256 toTokenId, uint16 toCategories)
    {
        uint256 flags = _shared.distrustFlags;
        SbtWord sbt = _sbts[to];
        return (_standing(_sbts[from], flags), _standing(sbt, flags), sbt.tokenId(), sbt.categories());
    }

    /// @inheritdoc IInvestorSBT
    function readParties(address from, address to) external view override returns (uint256 packed) {
        uint256 flags = _shared.distrustFlags;
        SbtWord sbt = _sbts[to];
        packed = _standing(_sbts[from], flags);
        packed |= uint256(_standing(sbt, flags)) << 8 | uint256(sbt.tokenId()) << 16 | uint256(sbt.categories()) << 64;
    }

    /// @inheritdoc IInvestorSBT
    function sbtOf(address holder) external view override returns (Sbt memory) {
        SbtWord sbt = _sbts[holder];
        if (!sbt.exists()) return Sbt(0, 0, 0, 0, 0, 0, address(0), address(0), false);
        return Sbt({
            tokenId: sbt.tokenId(),
            subject: _subjects[holder],
            categories: sbt.categories(),
            issuedAt: sbt.issuedAt(),
            effectiveFrom: sbt.effectiveFrom(),
            expiresAt: sbt.expiresAt(),
            issuer: _keys[sbt.issuerKey()],
            attestor: _keys[sbt.attestorKey()],
            suspended: sbt.isSuspended()
        });
    }

    /// @inheritdoc IInvestorSBT
    function subjectOf(address holder) external view override returns (bytes32) {
        return _subjects[holder];
    }

    /// @inheritdoc IInvestorSBT
    function sameSubject(address first, address second)
        external
        view
        override
        returns (bool same, uint256 secondTokenId)
    {
        bytes32 subject = _subjects[first];
        return (subject != 0 && subject == _subjects[second], _sbts[second].tokenId());
    }

    /// @inheritdoc IInvestorSBT
    function attestationDigest(Attestation calldata attestation) public view override returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ATTESTATION_TYPEHASH,
                    attestation.holder,
                    attestation.subject,
                    attestation.categories,
                    attestation.expiresAt,
                    attestation.evidenceHash,
                    attestation.nonce,
                    attestation.deadline
                )
            )
        );
    }

    /// @inheritdoc IInvestorSBT
    function isUsed(bytes32 digest) external view override returns (bool) {
        return _used[digest];
    }

    /// @inheritdoc IInvestorSBT
    function isVoided(address attestor, uint256 nonce) external view override returns (bool) {
        return _voided[attestor][nonce];
    }

    /// @inheritdoc IInvestorSBT
    function distrustOf(address key) external view override returns (bool distrusted, uint48 since) {
        since = _distrustedSince[key];
        distrusted = since != 0;
    }

    /// @inheritdoc IInvestorSBT
    function issuanceRemaining() external view override returns (uint256) {
        return _issuance.remaining();
    }

    /// @inheritdoc IInvestorSBT
    function issuanceLimitPerDay() external view override returns (uint256) {
        return _issuance.limitPerDay();
    }

    /// @inheritdoc IInvestorSBT
    function issuancePaused() external view override returns (bool) {
        return _shared.issuancePaused;
    }

    /// @inheritdoc IInvestorSBT
    function activationDelay() external view override returns (uint32) {
        return _shared.activationDelay.get();
    }

    /// @inheritdoc IInvestorSBT
    function isAttestorCodeAllowed(bytes32 codeHash) external view override returns (bool) {
        return _allowedCode[codeHash];
    }

    /// @inheritdoc IERC5192
    function locked(uint256 tokenId) external view override returns (bool) {
        _requireOwned(tokenId);
        return true;
    }

    /// @inheritdoc IERC5484
    function burnAuth(uint256 tokenId) external view override returns (BurnAuth) {
        _requireOwned(tokenId);
        return BurnAuth.IssuerOnly;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IERC5192).interfaceId || interfaceId == type(IERC5484).interfaceId
            || super.supportsInterface(interfaceId);
    }

    // ------------------------------------------------------------------------------------ ERC-721, without transferring

    /// @inheritdoc ERC721
    function balanceOf(address owner) public view override(ERC721) returns (uint256) {
        if (owner == address(0)) revert ERC721InvalidOwner(address(0));
        return _sbts[owner].exists() ? 1 : 0;
    }

    /// @dev One mapping instead of OpenZeppelin's two: the balance follows from the record.
    function _ownerOf(uint256 tokenId) internal view override returns (address) {
        return _holders[tokenId];
    }

    /// @dev Every transfer of ERC721 ends here; nothing else of ours calls it.
    function _update(address, uint256, address) internal pure override returns (address) {
        revert InvestorSBT_Soulbound();
    }

    /// @inheritdoc ERC721
    function transferFrom(address, address, uint256) public pure override(ERC721) {
        revert InvestorSBT_Soulbound();
    }

    /// @inheritdoc ERC721
    function safeTransferFrom(address, address, uint256, bytes memory) public pure override(ERC721) {
        revert InvestorSBT_Soulbound();
    }

    /// @inheritdoc ERC721
    function approve(address, uint256) public pure override(ERC721) {
        revert InvestorSBT_Soulbound();
    }

    /// @inheritdoc ERC721
    function setApprovalForAll(address, bool) public pure override(ERC721) {
        revert InvestorSBT_Soulbound();
    }

    // ----------------------------------------------------------------------------------------------------------- internal

    /// @dev The gravest first: "pending" and "expired" are only said of an SBT that nothing worse is known of.
    function _standing(SbtWord sbt, uint256 flags) private view returns (uint8) {
        if (!sbt.exists()) return Standing.NONE;
        if (sbt.isSuspended()) return Standing.SUSPENDED;
        if (flags != 0) {
            if (_isDistrusted(sbt.issuerKey(), sbt.issuedAt(), flags)) return Standing.ISSUER_DISTRUSTED;
            if (_isDistrusted(sbt.attestorKey(), sbt.issuedAt(), flags)) return Standing.ATTESTOR_DISTRUSTED;
        }
        if (block.timestamp >= sbt.expiresAt()) return Standing.EXPIRED;
        if (block.timestamp < sbt.effectiveFrom()) return Standing.PENDING;
        return Standing.EFFECTIVE;
    }

    function _isDistrusted(uint256 index, uint256 issued, uint256 flags) private view returns (bool) {
        if (flags & (1 << (index % FLAGS)) == 0) return false;
        uint256 since = _distrustedSince[_keys[index]];
        return since != 0 && issued >= since;
    }

    /// @dev A renewal keeps its effect only where it adds nothing to what counts now.
    function _renewedFrom(Shared memory shared, SbtWord sbt, uint16 categories) private view returns (uint48) {
        bool widened = categories & ~sbt.categories() != 0;
        // Suspended but otherwise sound would come back at once on reinstatement, so the suspension is left aside here.
        bool counts = _standing(sbt.reinstate(), shared.distrustFlags) == Standing.EFFECTIVE;
        return counts && !widened ? sbt.effectiveFrom() : Time.timestamp() + shared.activationDelay.get();
    }

    function _checkAttestation(Shared memory shared, Attestation calldata attestation, uint48 from) private view {
        if (shared.issuancePaused) revert InvestorSBT_IssuancePaused();
        if (attestation.holder == address(0)) revert InvestorSBT_InvalidHolder();
        if (attestation.subject == 0) revert InvestorSBT_InvalidSubject();
        uint16 kind = attestation.categories & (Category.INDIVIDUAL | Category.CORPORATE);
        if (kind != Category.INDIVIDUAL && kind != Category.CORPORATE) {
            revert InvestorSBT_InvalidCategories(attestation.categories);
        }
        uint48 today = Time.timestamp();
        if (attestation.deadline < today) revert InvestorSBT_DeadlinePassed(attestation.deadline);
        if (attestation.deadline > today + MAX_DEADLINE) revert InvestorSBT_DeadlineTooFar(attestation.deadline);
        uint48 expiresAt = attestation.expiresAt;
        if (expiresAt <= from || expiresAt <= today || expiresAt > today + MAX_LIFETIME) {
            revert InvestorSBT_InvalidExpiry(expiresAt);
        }
    }

    function _bindSubject(address holder, bytes32 subject) private {
        bytes32 bound = _subjects[holder];
        if (bound == 0) _subjects[holder] = subject;
        else if (bound != subject) revert InvestorSBT_SubjectMismatch(holder, bound, subject);
    }

    /// @dev Uses up the attestation and one of the day's issues.
    function _spend(Attestation calldata attestation, address attestor, bytes calldata signature) private {
        if (msg.sender == authority()) revert InvestorSBT_DirectCallOnly();
        if (attestor == msg.sender) revert InvestorSBT_AttestorIsSubmitter(attestor);
        (bool isAttestor,) = IAccessManager(authority()).hasRole(Roles.ATTESTOR, attestor);
        if (!isAttestor) revert InvestorSBT_NotAttestor(attestor);
        if (_voided[attestor][attestation.nonce]) revert InvestorSBT_AttestationVoided(attestor, attestation.nonce);
        bytes32 digest = attestationDigest(attestation);
        if (_used[digest]) revert InvestorSBT_AttestationUsed(digest);
        _checkSignature(attestor, digest, signature);
        _used[digest] = true;
        _issuance.consume(1);
    }

    /// @dev A key's own signature counts whether or not its account has code (EIP-7702); a contract is only asked (ERC-1271)
    /// if its code is allowed. OpenZeppelin refuses high-s twins and signatures that are not 65 bytes long.
    function _checkSignature(address attestor, bytes32 digest, bytes calldata signature) private view {
        (address signer, ECDSA.RecoverError error,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (error == ECDSA.RecoverError.NoError && signer == attestor) return;
        if (attestor.code.length == 0) revert InvestorSBT_InvalidSignature(attestor);
        if (!_allowedCode[attestor.codehash]) {
            revert InvestorSBT_AttestorCodeNotAllowed(attestor, attestor.codehash);
        }
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(attestor, digest, signature)) {
            revert InvestorSBT_InvalidSignature(attestor);
        }
    }

    /// @dev The record of a fresh issue or renewal. Takes new keys into the list, in `shared`, which the caller stores.
    function _pack(
        Shared memory shared,
        uint256 tokenId,
        uint48 from,
        Attestation calldata attestation,
        address attestor
    ) private returns (SbtWord) {
        return SbtWords.pack(
            tokenId,
            from,
            attestation.expiresAt,
            block.timestamp,
            _trustedKey(shared, msg.sender),
            _trustedKey(shared, attestor),
            attestation.categories
        );
    }

    /// @dev The index of `key`, a new one if need be. Checked arithmetic ends it at 65,535 keys. A known key can only be
    ///      distrusted if its flag is up, which spares the look.
    function _trustedKey(Shared memory shared, address key) private returns (uint256 index) {
        index = _keyIndex[key];
        bool mayBeDistrusted = index == 0 || shared.distrustFlags & (1 << (index % FLAGS)) != 0;
        if (mayBeDistrusted && _distrustedSince[key] != 0) revert InvestorSBT_KeyDistrusted(key);
        if (index == 0) {
            index = ++shared.lastKey;
            _keyIndex[key] = index;
            _keys[index] = key;
        }
    }

    function _emitSbtIssued(uint256 tokenId, uint48 from, Attestation calldata attestation, address attestor) private {
        emit SbtIssued(
            attestation.holder,
            tokenId,
            attestation.subject,
            attestation.categories,
            from,
            attestation.expiresAt,
            msg.sender,
            attestor,
            attestation.evidenceHash
        );
    }

    function _emitSbtRenewed(uint256 tokenId, uint48 from, Attestation calldata attestation, address attestor) private {
        emit SbtRenewed(
            attestation.holder,
            tokenId,
            attestation.subject,
            attestation.categories,
            from,
            attestation.expiresAt,
            msg.sender,
            attestor,
            attestation.evidenceHash
        );
    }

    function _existing(address holder) private view returns (SbtWord sbt) {
        sbt = _sbts[holder];
        if (!sbt.exists()) revert InvestorSBT_NoSbt(holder);
    }

    function _checkActivationDelay(uint32 delay) private pure {
        if (delay > MAX_ACTIVATION_DELAY) revert InvestorSBT_InvalidSetting(delay);
    }

    function _setIssuanceLimit(uint256 limitPerDay) private {
        if (limitPerDay < 2 || limitPerDay > MAX_ISSUANCE_LIMIT) revert InvestorSBT_InvalidSetting(limitPerDay);
        _issuance.set(limitPerDay);
        emit IssuanceLimitSet(limitPerDay);
    }
}
