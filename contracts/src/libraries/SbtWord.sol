// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title One SBT in one storage slot
/// @dev A plain struct would be read field by field; as a word it costs one SLOAD whatever is asked. From the lowest bit:
///      tokenId 48 · effectiveFrom 40 · expiresAt 40 · issuedAt 40 · issuerKey 16 · attestorKey 16 · categories 16 · suspended 1.
///      Times are Unix seconds; a key is an index into InvestorSBT's list of keys. Zero is "no SBT".
type SbtWord is uint256;

using SbtWords for SbtWord global;

library SbtWords {
    uint256 private constant SUSPENDED = 1 << 216;

    /// @dev Every argument must fit its field: the caller has checked the times, the rest are smaller types.
    function pack(
        uint256 id,
        uint256 from,
        uint256 until,
        uint256 issued,
        uint256 issuer,
        uint256 attestor,
        uint256 flags
    ) internal pure returns (SbtWord) {
        return SbtWord.wrap(
            id | from << 48 | until << 88 | issued << 128 | issuer << 168 | attestor << 184 | flags << 200
        );
    }

    function exists(SbtWord word) internal pure returns (bool) {
        return SbtWord.unwrap(word) != 0;
    }

    function tokenId(SbtWord word) internal pure returns (uint48) {
        return uint48(SbtWord.unwrap(word));
    }

    function effectiveFrom(SbtWord word) internal pure returns (uint40) {
        return uint40(SbtWord.unwrap(word) >> 48);
    }

    function expiresAt(SbtWord word) internal pure returns (uint40) {
        return uint40(SbtWord.unwrap(word) >> 88);
    }

    function issuedAt(SbtWord word) internal pure returns (uint40) {
        return uint40(SbtWord.unwrap(word) >> 128);
    }

    function issuerKey(SbtWord word) internal pure returns (uint16) {
        return uint16(SbtWord.unwrap(word) >> 168);
    }

    function attestorKey(SbtWord word) internal pure returns (uint16) {
        return uint16(SbtWord.unwrap(word) >> 184);
    }

    function categories(SbtWord word) internal pure returns (uint16) {
        return uint16(SbtWord.unwrap(word) >> 200);
    }

    function isSuspended(SbtWord word) internal pure returns (bool) {
        return SbtWord.unwrap(word) & SUSPENDED != 0;
    }

    function suspend(SbtWord word) internal pure returns (SbtWord) {
        return SbtWord.wrap(SbtWord.unwrap(word) | SUSPENDED);
    }

    function reinstate(SbtWord word) internal pure returns (SbtWord) {
        return SbtWord.wrap(SbtWord.unwrap(word) & ~SUSPENDED);
    }
}
