"""What `audit_roles` looks for: every way in which one key, or a delay that is not there, has lasting power."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from chain.operations import (
    GUARDED_ROLES,
    MANAGER_FUNCTION_ROLES,
    SBT_FUNCTION_ROLES,
    TOKEN_FUNCTION_ROLES,
    VAULT_FUNCTION_ROLES,
    VAULT_ROLES,
)
from chain.profiles import Profile
from chain.types import ChainRole

if TYPE_CHECKING:
    from chain.governance.roles import Holder, RoleReport, SafeRow, TimelockRow, Weakness

#: Fewest signatures without which nothing happens: below, one officer's key is enough.
QUORUM: Final = 2
_GUARDIANS: Final = (ChainRole.SBT_GUARDIAN, ChainRole.TOKEN_GUARDIAN)
_DESIGN: Final = (SBT_FUNCTION_ROLES, TOKEN_FUNCTION_ROLES, MANAGER_FUNCTION_ROLES, VAULT_FUNCTION_ROLES)
_KINDS: Final = ("InvestorSBT", "SecurityToken", "AccessManager", "CollateralVault")

Found = Iterator[tuple[str, str, str]]
Functions = Mapping[tuple[str, bytes], int]


def find_weaknesses(
    report: RoleReport, plan: Profile, functions: Functions, contracts: Mapping[str, str]
) -> list[Weakness]:
    """Everything that is wrong, the gravest first; nothing if no single key has lasting power."""
    from chain.governance.roles import Weakness

    checks = (
        _admin(report, plan),
        _council(report),
        _safes(report),
        _deployer(report),
        _controllers(report, plan),
        _functions(report, functions, contracts),
        _vault(report, plan),
        _cancelling(report, functions),
        _hats(report),
    )
    return [Weakness(*found) for check in checks for found in check]


def _admin(report: RoleReport, plan: Profile) -> Found:
    holders = report.holders_of(ChainRole.ADMIN)
    if len(holders) != 1:
        yield "admin_not_one", report.manager, f"ADMIN has {len(holders)} holders; any one cancels the others"
    for holder in holders:
        if holder.kind == "key":
            yield "admin_is_key", holder.address, "ADMIN is held by a single key"
        elif holder.kind != "timelock":
            yield "admin_not_timelock", holder.address, f"ADMIN is held by a {holder.kind}, which does not wait"
    for timelock in report.timelocks:
        yield from _timelock(report, timelock, plan)


def _timelock(report: RoleReport, timelock: TimelockRow, plan: Profile) -> Found:
    least = int(plan.admin_delay.total_seconds())
    if timelock.delay < max(least, 1):
        detail = f"the timelock waits {timelock.delay} s, the profile says {least} s"
        yield "admin_delay_short", timelock.address, detail
    safes = {safe.address for safe in report.safes}
    for role in ("proposer", "canceller"):
        for member in timelock.members[role]:
            if member not in safes:
                yield f"timelock_{role}_is_key", member, f"a single key is {role} of the timelock"
    for member in timelock.members["admin"]:
        if member != timelock.address:
            yield "timelock_has_admin", member, "may change the timelock's roles without waiting"
    councils = {holder.address for holder in report.holders_of(ChainRole.COUNCIL)}
    if not councils & set(timelock.members["canceller"]):
        yield "council_cannot_cancel", timelock.address, "the council may not cancel what the admin announced"


def _council(report: RoleReport) -> Found:
    holders = report.holders_of(ChainRole.COUNCIL)
    if not holders:
        yield "council_missing", report.manager, "nobody can lift a pause or cancel an operation"
    for holder in holders:
        if holder.kind != "safe":
            yield "council_is_key", holder.address, f"COUNCIL is held by a {holder.kind}"


def _safes(report: RoleReport) -> Found:
    for safe in report.safes:
        if safe.threshold < QUORUM:
            yield "safe_threshold_one", safe.address, f"{safe.threshold} of {len(safe.owners)} signatures are enough"
        for module in safe.modules:
            yield "safe_has_module", module, f"may act for the Safe {safe.address} without its owners"
    for number, safe in enumerate(report.safes):
        for other in report.safes[number + 1 :]:
            yield from _shared(safe, other)


def _shared(safe: SafeRow, other: SafeRow) -> Found:
    both = set(safe.owners) & set(other.owners)
    if len(both) >= min(safe.threshold, other.threshold):
        yield "safes_share_quorum", safe.address, f"{len(both)} owners also own {other.address}: enough for both"


def _deployer(report: RoleReport) -> Found:
    for row in report.roles:
        if report.deployer in {holder.address for holder in row.holders}:
            yield "deployer_left_with_role", report.deployer, f"the deployer still holds {row.name}"
    for timelock in report.timelocks:
        for role, members in timelock.members.items():
            if report.deployer in members:
                yield "deployer_left_with_role", report.deployer, f"the deployer is {role} of the timelock"


def _controllers(report: RoleReport, plan: Profile) -> Found:
    least = int(plan.controller_delay.total_seconds())
    for holder in report.holders_of(ChainRole.TOKEN_CONTROLLER):
        if holder.delay < max(least, 1):
            detail = f"waits {holder.delay} s before moving a holder's units, the profile says {least} s"
            yield "controller_without_delay", holder.address, detail


def _vault(report: RoleReport, plan: Profile) -> Found:
    """The waits and limits that protect collateral are at least the profile's."""
    for setting in report.settings:
        if not setting.contract.startswith("CollateralVault "):
            continue
        vault = setting.contract.removeprefix("CollateralVault ")
        least = {"releaseDelay": plan.release_delay, "noticePeriod": plan.notice_period}.get(setting.name)
        if least is not None and setting.value < int(least.total_seconds()):
            detail = f"{setting.name} is {setting.value} s, the profile says {int(least.total_seconds())} s"
            yield "vault_delay_short", vault, detail
        most = {
            "releaseLimitPerDay": plan.release_limit_per_day_wei,
            "saleLimitPerDay": plan.sale_limit_per_day_wei,
        }.get(setting.name)
        if most is not None and setting.value > most:
            yield "vault_limit_high", vault, f"{setting.name} is {setting.value} wei, the profile says {most} wei"


def _functions(report: RoleReport, functions: Functions, contracts: Mapping[str, str]) -> Found:
    """Every function is with the role the design gives it to, or with ADMIN."""
    from chain import abi
    from chain.governance.roles import PUBLIC

    designed = {
        kind: {selector: int(role) for role, names in design.items() for name in names
               for selector in abi.artifact(kind).selectors_of(name)}
        for kind, design in zip(_KINDS, _DESIGN, strict=True)
    }  # fmt: skip
    names = {row.role: row.name for row in report.roles}
    for (target, selector), role in functions.items():
        kind = contracts.get(target, "")
        if role in (int(ChainRole.ADMIN), designed.get(kind, {}).get(selector)):
            continue
        function = abi.artifact(kind).by_selector.get(selector) if kind else None
        label = f"{kind}.{function.name}" if function else f"{target} 0x{selector.hex()}"
        if role == PUBLIC:
            yield "function_public", target, f"anybody may call {label}"
        elif role in _GUARDIANS:
            yield "guardian_can_enlarge", target, f"{names[role]} may call {label}, which does more than reduce"
        else:
            yield "function_misassigned", target, f"{names.get(role, role)} may call {label}"


def _cancelling(report: RoleReport, functions: Functions) -> Found:
    """The council can cancel everything that waits in the manager, and nobody else can change that."""
    from chain import abi

    lends = any(setting.contract.startswith("CollateralVault ") for setting in report.settings)
    for guarded in GUARDED_ROLES:
        row = report.role(guarded)
        if guarded in VAULT_ROLES and not lends and (row is None or not row.holders):
            continue  # a platform without a vault may lack its roles
        if row is None or row.guardian_role != int(ChainRole.COUNCIL):
            yield "council_cannot_cancel", report.manager, f"the council is not guardian of {guarded.name}"
    manager = abi.artifact("AccessManager")
    for name in MANAGER_FUNCTION_ROLES[ChainRole.MANAGEMENT]:
        key = (report.manager, manager.functions[name].selector)
        if functions.get(key) != int(ChainRole.MANAGEMENT):
            yield "council_cannot_cancel", report.manager, f"the council cannot cancel a scheduled {name}"
    for row in report.roles:
        if row.admin_role != int(ChainRole.ADMIN):
            yield "role_admin_changed", report.manager, f"role {row.admin_role} may grant {row.name}"
        if row.role == ChainRole.MANAGEMENT and row.holders:
            yield "management_has_members", row.holders[0].address, "the manager's own functions have a member"
        if row.role not in set(ChainRole) and any(holder.kind == "key" for holder in row.holders) and row.functions:
            yield "unknown_role", report.manager, f"role {row.name} is not of the design, and a key holds it"


def _hats(report: RoleReport) -> Found:
    """Each key one hat: two roles on one key are two keys stolen at once."""
    hats: dict[str, set[str]] = defaultdict(set)
    for row in report.roles:
        for holder in _keys(row.holders):
            hats[holder.address].add(row.name)
    for safe in report.safes:
        for owner in safe.owners:
            hats[owner].add(f"owner of {safe.address}")
    for timelock in report.timelocks:
        for member in timelock.members["executor"]:
            if member not in {safe.address for safe in report.safes}:
                hats[member].add("executor")
    for address, worn in hats.items():
        roles = {hat for hat in worn if not hat.startswith("owner of ")}
        if len(roles) > 1 or (roles and len(worn) > len(roles)):
            yield "two_roles_one_key", address, "holds " + ", ".join(sorted(worn))


def _keys(holders: tuple[Holder, ...]) -> list[Holder]:
    return [holder for holder in holders if holder.kind == "key"]
