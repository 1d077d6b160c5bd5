// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title InvestorSBT: who is a verified investor
/// @notice One soulbound token per address, issued only on two keys: the issuer submits, a KYC officer has signed. It takes
/// effect after a delay, expires, can be suspended, and stops counting in one transaction when a key behind it is distrusted.
/// @dev No personal data: `subject` is an opaque random reference of the person. All times are Unix seconds.
/// Roles are those of the AccessManager: SBT_ISSUER, ATTESTOR, SBT_GUARDIAN, COUNCIL, ADMIN.
interface IInvestorSBT {
    // ------------------------------------------------------------------------------------------------------------- types

    /// @notice What a KYC officer signs (EIP-712).
    /// @param holder The address verified to belong to the person.
    /// @param subject Opaque reference of the person; several addresses of one person share it.
    /// @param categories Bits of `Category`; exactly one of individual and corporate.
    /// @param expiresAt When the SBT stops counting.
    /// @param evidenceHash Commitment to the evidence the officer saw.
    /// @param nonce A number the attestor never used before; with it an unused attestation can be voided.
    /// @param deadline The last moment at which it may be submitted; at most 30 days ahead.
    struct Attestation {
        address holder;
        bytes32 subject;
        uint16 categories;
        uint48 expiresAt;
        bytes32 evidenceHash;
        uint256 nonce;
        uint48 deadline;
    }

    /// @notice An SBT as a reader wants it.
    struct Sbt {
        uint256 tokenId;
        bytes32 subject;
        uint16 categories;
        uint48 issuedAt;
        uint48 effectiveFrom;
        uint48 expiresAt;
        address issuer;
        address attestor;
        bool suspended;
    }

    // ------------------------------------------------------------------------------------------------------------ events

    /// @notice Emitted when an SBT is issued. It counts from `effectiveFrom` on.
    event SbtIssued(
        address indexed holder,
        uint256 indexed tokenId,
        bytes32 indexed subject,
        uint16 categories,
        uint48 effectiveFrom,
        uint48 expiresAt,
        address issuer,
        address attestor,
        bytes32 evidenceHash
    );

    /// @notice Emitted when an SBT is attested anew; the fields replace the former ones. `issuedAt` becomes the block's time.
    event SbtRenewed(
        address indexed holder,
        uint256 indexed tokenId,
        bytes32 indexed subject,
        uint16 categories,
        uint48 effectiveFrom,
        uint48 expiresAt,
        address issuer,
        address attestor,
        bytes32 evidenceHash
    );

    /// @notice Emitted when a guardian suspended an SBT.
    event SbtSuspended(address indexed holder, uint256 indexed tokenId);

    /// @notice Emitted when the council lifted a suspension.
    event SbtReinstated(address indexed holder, uint256 indexed tokenId);

    /// @notice Emitted when a suspended SBT was revoked; the address keeps its subject.
    event SbtRevoked(address indexed holder, uint256 indexed tokenId);

    /// @notice Emitted when what `key` issued or attested from `since` on stopped counting.
    event KeyDistrusted(address indexed key, uint48 since);

    /// @notice Emitted when the council trusts `key` again, for everything it did.
    event KeyTrustRestored(address indexed key);

    /// @notice Emitted when an attestor made one of its nonces unusable.
    event AttestationVoided(address indexed attestor, uint256 nonce);

    /// @notice Emitted when issuing and renewing stopped.
    event IssuancePaused(address account);

    /// @notice Emitted when issuing and renewing may go on.
    event IssuanceResumed(address account);

    /// @notice Emitted when the activation delay of SBTs issued from `effectiveFrom` on was set.
    event ActivationDelaySet(uint32 delay, uint48 effectiveFrom);

    /// @notice Emitted when the issuance limit was set.
    event IssuanceLimitSet(uint256 limitPerDay);

    /// @notice Emitted when contracts with this code may, or may no longer, be attestors (ERC-1271).
    event AttestorCodeAllowed(bytes32 indexed codeHash, bool allowed);

    // ------------------------------------------------------------------------------------------------------------ errors

    /// @notice An SBT cannot be transferred or approved.
    error InvestorSBT_Soulbound();

    /// @notice The call must come from the role's holder itself, not through the AccessManager, because it is recorded as issuer.
    error InvestorSBT_DirectCallOnly();

    /// @notice Issuing and renewing are paused.
    error InvestorSBT_IssuancePaused();

    /// @notice Issuing and renewing are not paused.
    error InvestorSBT_IssuanceNotPaused();

    /// @notice The attestation is for the zero address.
    error InvestorSBT_InvalidHolder();

    /// @notice The attestation names no subject.
    error InvestorSBT_InvalidSubject();

    /// @notice Neither or both of individual and corporate are set.
    error InvestorSBT_InvalidCategories(uint16 categories);

    /// @notice The expiry is not after activation, or too far ahead.
    error InvestorSBT_InvalidExpiry(uint48 expiresAt);

    /// @notice The attestation may not be submitted any more.
    error InvestorSBT_DeadlinePassed(uint48 deadline);

    /// @notice The attestation could be submitted for too long.
    error InvestorSBT_DeadlineTooFar(uint48 deadline);

    /// @notice The attestor must not be the one who submits.
    error InvestorSBT_AttestorIsSubmitter(address attestor);

    /// @notice The address does not hold the ATTESTOR role.
    error InvestorSBT_NotAttestor(address account);

    /// @notice The attestor is a contract whose code is not allowed.
    error InvestorSBT_AttestorCodeNotAllowed(address attestor, bytes32 codeHash);

    /// @notice The signature is not the attestor's over this attestation, chain and contract, or is malleable.
    error InvestorSBT_InvalidSignature(address attestor);

    /// @notice The attestation was submitted before.
    error InvestorSBT_AttestationUsed(bytes32 digest);

    /// @notice The attestor voided this nonce.
    error InvestorSBT_AttestationVoided(address attestor, uint256 nonce);

    /// @notice The address has an SBT already; renew it.
    error InvestorSBT_AlreadyIssued(address holder);

    /// @notice The address has no SBT.
    error InvestorSBT_NoSbt(address holder);

    /// @notice The address belongs to another subject, for good.
    error InvestorSBT_SubjectMismatch(address holder, bytes32 bound, bytes32 given);

    /// @notice The SBT is suspended already.
    error InvestorSBT_AlreadySuspended(address holder);

    /// @notice The SBT is not suspended.
    error InvestorSBT_NotSuspended(address holder);

    /// @notice The key is distrusted, so nothing it does would count.
    error InvestorSBT_KeyDistrusted(address key);

    /// @notice The key is not distrusted.
    error InvestorSBT_KeyTrusted(address key);

    /// @notice The zero address or a time in the future cannot be distrusted.
    error InvestorSBT_InvalidDistrust(address key, uint48 since);

    /// @notice Distrust may only reach further back than `current`.
    error InvestorSBT_DistrustNotWider(address key, uint48 current, uint48 since);

    /// @notice The limit is below 2 or absurdly high, or the delay is above 30 days.
    error InvestorSBT_InvalidSetting(uint256 value);

    // ----------------------------------------------------------------------------------------------------------- issuing

    /// @notice Issues an SBT to `attestation.holder`. It counts after the activation delay.
    /// @dev Emits Transfer, Locked, Issued and SbtIssued.
    /// Requirements:
    /// - the caller holds SBT_ISSUER and calls directly; issuance is not paused; the limit is not reached
    /// - `attestor` holds ATTESTOR, is not the caller, and signed; neither key is distrusted
    /// - the attestation is unused, not voided, within its deadline; its expiry lies after activation
    /// - the holder has no SBT, and was never bound to another subject
    function issue(Attestation calldata attestation, address attestor, bytes calldata signature) external;

    /// @notice Replaces expiry, categories and keys of the holder's SBT by freshly attested ones.
    /// @dev It goes on counting at once only if it counts now and no category is added; else it is pending through the
    /// activation delay again. A suspended SBT stays suspended. Emits SbtRenewed. Requirements as for `issue`, but the holder
    /// has an SBT, of the same subject.
    function renew(Attestation calldata attestation, address attestor, bytes calldata signature) external;

    /// @notice Makes one of the caller's own nonces unusable.
    function voidAttestation(uint256 nonce) external;

    // ---------------------------------------------------------------------------------------------------------- reducing

    /// @notice Stops an SBT from counting until the council lifts it. [SBT_GUARDIAN]
    function suspend(address holder) external;

    /// @notice Lifts a suspension. [COUNCIL]
    function reinstate(address holder) external;

    /// @notice Ends a suspended SBT: two keys, the guardian's and the issuer's. The address keeps its subject. [SBT_ISSUER]
    /// @dev A new SBT has a new id, so each security has to admit it anew. Emits Transfer to zero and SbtRevoked.
    function revoke(address holder) external;

    /// @notice Stops everything `key` issued or attested from `since` on from counting. May only widen. [SBT_GUARDIAN]
    /// @param since Not in the future; 0 means from the beginning.
    function distrust(address key, uint48 since) external;

    /// @notice Trusts `key` again; everything it did counts again. [COUNCIL]
    function restoreTrust(address key) external;

    /// @notice Stops issuing and renewing. [SBT_GUARDIAN]
    function pauseIssuance() external;

    /// @notice Lets issuing and renewing go on. [COUNCIL]
    function resumeIssuance() external;

    // ---------------------------------------------------------------------------------------------------------- settings

    /// @notice Sets the activation delay of later issues; a shorter one only after the difference has passed. [ADMIN]
    function setActivationDelay(uint32 delay) external;

    /// @notice Sets how many issues and renewals any 24 hours may hold: half at once, the rest as it refills. [ADMIN]
    function setIssuanceLimit(uint256 limitPerDay) external;

    /// @notice Allows contracts with this code to be attestors, or not any more. [ADMIN]
    function allowAttestorCode(bytes32 codeHash, bool allowed) external;

    // ------------------------------------------------------------------------------------------------------------- views

    /// @notice What the SBT of `holder` is worth now: a number of `Standing`.
    /// @dev The gravest first: none, suspended, issuer distrusted, attestor distrusted, expired, pending, effective.
    function standingOf(address holder) external view returns (uint8);

    /// @notice Whether `standingOf(holder)` is EFFECTIVE.
    function isEffective(address holder) external view returns (bool);

    /// @notice The SBT of `holder`; all zero when there is none.
    function sbtOf(address holder) external view returns (Sbt memory);

    /// @notice Standing, SBT id and categories of one address, in one call.
    function profileOf(address holder) external view returns (uint8 standing, uint256 tokenId, uint16 categories);

    /// @notice What a token needs to know of both sides of a transfer, in one call.
    function pairStanding(address from, address to)
        external
        view
        returns (uint8 fromStanding, uint8 toStanding, uint256 toTokenId, uint16 toCategories);

    /// @notice The same in one word, for tokens: from's standing 8 bits, to's standing 8, to's SBT id 48, to's categories 16.
    /// @dev Its selector, 0x0082ae39, comes first in the contract's dispatch: a transfer pays for no other comparison.
    function readParties(address from, address to) external view returns (uint256 packed);

    /// @notice The person an address is bound to; kept when its SBT is revoked. Zero: never had an SBT.
    function subjectOf(address holder) external view returns (bytes32);

    /// @notice Whether both addresses are bound to one and the same subject, and the SBT id of the second (0: none).
    function sameSubject(address first, address second) external view returns (bool same, uint256 secondTokenId);

    /// @notice The EIP-712 digest an attestor signs.
    function attestationDigest(Attestation calldata attestation) external view returns (bytes32);

    /// @notice Whether an attestation with this digest was submitted.
    function isUsed(bytes32 digest) external view returns (bool);

    /// @notice Whether `attestor` voided `nonce`.
    function isVoided(address attestor, uint256 nonce) external view returns (bool);

    /// @notice From when on what `key` did does not count; `distrusted` tells 0 from none.
    function distrustOf(address key) external view returns (bool distrusted, uint48 since);

    /// @notice How many SBTs may be issued or renewed right now.
    function issuanceRemaining() external view returns (uint256);

    /// @notice How many issues and renewals any 24 hours may hold.
    function issuanceLimitPerDay() external view returns (uint256);

    /// @notice Whether issuing and renewing are paused.
    function issuancePaused() external view returns (bool);

    /// @notice The delay an SBT issued now would wait, in seconds.
    function activationDelay() external view returns (uint32);

    /// @notice Whether contracts with this code may be attestors.
    function isAttestorCodeAllowed(bytes32 codeHash) external view returns (bool);
}
