"""Who may do what, how fast, and who can stop it: read from the chain alone.

The database only says where the manager is. Everything else is what the contracts' logs and views answer now, so a row
that somebody changed here cannot make the report look better than the chain is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from eth_abi.exceptions import DecodingError

from chain import abi
from chain.events import DecodedLog, RawLog, decode_log
from chain.gateway import ZERO_ADDRESS
from chain.models import Contract
from chain.operations import (
    GUARDED_ROLES,
    MANAGER_FUNCTION_ROLES,
    SBT_FUNCTION_ROLES,
    TOKEN_FUNCTION_ROLES,
    VAULT_FUNCTION_ROLES,
)
from chain.profiles import Profile, profile
from chain.rpc import Request, Rpc, RpcError, as_hex, as_int, node
from chain.signers import checksummed
from chain.types import ChainRole

#: `AccessManager.PUBLIC_ROLE`: whoever asks.
PUBLIC: Final = 2**64 - 1
#: Blocks asked for at once; a node that refuses is asked for half.
_RANGE: Final = 50_000
#: `keccak256("guard_manager.guard.address")` and Safe's list head of modules.
_GUARD_SLOT: Final = "0x4a204f620c8c5ccdca3fd54d003badd85ba500436a431f0cbda4f558c93c34c8"
_FIRST_MODULE: Final = "0x" + "0" * 39 + "1"
_TIMELOCK_ROLES: Final = {
    "admin": bytes(32),
    "proposer": bytes.fromhex("b09aa5aeb3702cfd50b6b62bc4532604938f21248a27a1d5ca736082b6819cc1"),
    "executor": bytes.fromhex("d8aa0f3194971a2a116679f7c2090f6939c8d4e01a2a8d7e41d55e5351469e63"),
    "canceller": bytes.fromhex("fd643c72710c63c0180259aba6b2d05451e3591a24e58b62239378085726f783"),
}


@dataclass(frozen=True, slots=True)
class Holder:
    """One address in one role. `delay`: seconds between announcing and doing, as they are in force now."""

    role: int
    address: str
    kind: str  # key | safe | timelock | contract
    delay: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class RoleRow:
    """One role of the manager: what it may do, who holds it, and who can stop it."""

    role: int
    name: str
    holders: tuple[Holder, ...]
    functions: tuple[str, ...]
    admin_role: int
    guardian_role: int
    grant_delay: int


@dataclass(frozen=True, slots=True)
class SafeRow:
    """A Safe: who owns it, how many of them must sign, and anything that could act without them."""

    address: str
    owners: tuple[str, ...]
    threshold: int
    modules: tuple[str, ...]
    guard: str


@dataclass(frozen=True, slots=True)
class TimelockRow:
    """A timelock: its delay in seconds, and who may propose, carry out, cancel and change its roles."""

    address: str
    delay: int
    members: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class OpenSchedule:
    """Something announced and neither carried out nor cancelled; it may run from `ready_at` on."""

    where: str  # manager | timelock
    operation: str
    caller: str
    target: str
    data: str
    ready_at: datetime
    expired: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One figure of one contract, as it is in force now."""

    contract: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Weakness:
    """Something by which one key, or nobody's delay, could take more than it should."""

    code: str
    subject: str
    detail: str


@dataclass(slots=True)
class RoleReport:
    """Everything above at block `block`. `is_clean`: no single key has lasting power."""

    block: int
    manager: str
    deployer: str
    roles: list[RoleRow] = field(default_factory=list)
    safes: list[SafeRow] = field(default_factory=list)
    timelocks: list[TimelockRow] = field(default_factory=list)
    schedules: list[OpenSchedule] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    weaknesses: list[Weakness] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.weaknesses

    def role(self, role: int) -> RoleRow | None:
        return next((row for row in self.roles if row.role == role), None)

    def holders_of(self, role: int) -> tuple[Holder, ...]:
        row = self.role(role)
        return row.holders if row else ()


def role_report(rpc: Rpc | None = None, *, block: int | None = None) -> RoleReport:
    """Read the chain behind `CHAIN_RPC_URL` at `block` (the newest if none is given).

    Raises `Contract.DoesNotExist` before deployment, `NodeUnavailable`.
    """
    return _Audit(rpc or node(), profile(), block).run()


# --- reading ---------------------------------------------------------------------------------------------------


class _Audit:
    """One pass over the chain at one block."""

    def __init__(self, rpc: Rpc, plan: Profile, block: int | None = None) -> None:
        self.rpc = rpc
        self.plan = plan
        row = Contract.objects.get(chain_id=settings.CHAIN_ID, kind=Contract.Kind.ACCESS_MANAGER)
        self.manager = row.address
        head = rpc.call("eth_getBlockByNumber", "latest" if block is None else hex(block), False)
        self.block = as_int(head["number"])
        self.now = as_int(head["timestamp"])
        self.first = row.deployed_block
        self.report = RoleReport(block=self.block, manager=self.manager, deployer="")
        self.kinds: dict[str, str] = {}
        self.timelock_logs: dict[str, list[DecodedLog]] = {}
        self.contracts = dict(
            Contract.objects.filter(chain_id=settings.CHAIN_ID).values_list("address", "kind")
        )  # names for what the manager's events point at; decides nothing

    def run(self) -> RoleReport:
        logs = self._logs("AccessManager", self.manager)
        self.report.deployer = _first_admin(logs)
        self._read_roles(logs)
        self._read_members()
        self._read_schedules(logs)
        self._read_settings()
        from chain.governance.weaknesses import find_weaknesses

        self.report.weaknesses = find_weaknesses(self.report, self.plan, self.functions, self.contracts)
        return self.report

    def read(self, kind: str, to: str, function: str, *args: Any) -> tuple[Any, ...]:
        data = as_hex(abi.encode_call(kind, function, *args))
        answer = self.rpc.call("eth_call", {"to": to, "data": data}, hex(self.block))
        return abi.decode_result(kind, function, bytes.fromhex(answer[2:]))

    def read_many(self, asked: Sequence[tuple[str, str, str, tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        requests: list[Request] = [
            ("eth_call", [{"to": to, "data": as_hex(abi.encode_call(kind, function, *args))}, hex(self.block)])
            for kind, to, function, args in asked
        ]
        answers = self.rpc.gather(requests)
        return [
            abi.decode_result(kind, function, bytes.fromhex(answer[2:]))
            for (kind, _to, function, _args), answer in zip(asked, answers, strict=True)
        ]

    def _logs(self, kind: str, address: str) -> list[DecodedLog]:
        """Every log of `address`; the range shrinks where the node finds it too large."""
        found: list[RawLog] = []
        # A timelock and Safes are older than the manager.
        first, size = 0 if kind != "AccessManager" else self.first, _RANGE
        while first <= self.block:
            last = min(first + size - 1, self.block)
            query = {"fromBlock": hex(first), "toBlock": hex(last), "address": address}
            try:
                found += self.rpc.call("eth_getLogs", query)
            except RpcError:
                if size == 1:
                    raise
                size = max(size // 2, 1)
                continue
            first = last + 1
        at = datetime.fromtimestamp(self.now, UTC)
        return [decode_log(raw, kind=kind, at=at) for raw in found]

    # --- roles

    def _read_roles(self, logs: list[DecodedLog]) -> None:
        accounts, functions, labels = _named_in(logs)
        known = {int(role) for role in ChainRole}
        roles = sorted(known | set(accounts) | {role for role, _ in functions.values()})
        self.functions = self._present_functions(functions)
        by_role: dict[int, list[str]] = defaultdict(list)
        for (target, selector), role in self.functions.items():
            by_role[role].append(self.name_of(target, selector))
        for role in roles:
            if role != PUBLIC:
                self.report.roles.append(self._role_row(role, labels.get(role, ""), accounts[role], by_role[role]))
        if by_role[PUBLIC]:
            functions_of_all = tuple(sorted(by_role[PUBLIC]))
            self.report.roles.append(RoleRow(PUBLIC, "PUBLIC", (), functions_of_all, 0, 0, 0))

    def _present_functions(self, named: dict[tuple[str, bytes], tuple[int, int]]) -> dict[tuple[str, bytes], int]:
        keys = list(named)
        asked = [("AccessManager", self.manager, "getTargetFunctionRole", (to, selector)) for to, selector in keys]
        return {key: int(answer[0]) for key, answer in zip(keys, self.read_many(asked), strict=True)}

    def name_of(self, target: str, selector: bytes) -> str:
        kind = self.contracts.get(target, "")
        function = abi.artifact(kind).by_selector.get(selector) if kind else None
        return f"{kind or target}.{function.name if function else '0x' + selector.hex()}"

    def _role_row(self, role: int, label: str, accounts: Iterable[str], functions: list[str]) -> RoleRow:
        admin, guardian, grant_delay = self.read_many(
            [
                ("AccessManager", self.manager, "getRoleAdmin", (role,)),
                ("AccessManager", self.manager, "getRoleGuardian", (role,)),
                ("AccessManager", self.manager, "getRoleGrantDelay", (role,)),
            ]
        )
        known = ChainRole(role).name if role in set(ChainRole) else ""
        return RoleRow(
            role=role,
            name=known or label or str(role),
            holders=tuple(holder for account in sorted(accounts) if (holder := self._holder(role, account))),
            functions=tuple(sorted(functions)),
            admin_role=int(admin[0]),
            guardian_role=int(guardian[0]),
            grant_delay=int(grant_delay[0]),
        )

    def _holder(self, role: int, account: str) -> Holder | None:
        since, delay, pending, effect = self.read("AccessManager", self.manager, "getAccess", role, account)
        if since == 0:
            return None
        # A lower delay that is on its way counts already: it comes without another decision.
        shortest = min(int(delay), int(pending)) if effect else int(delay)
        return Holder(role, account, self.kind_of(account), shortest, datetime.fromtimestamp(since, UTC))

    # --- members that are contracts

    def kind_of(self, address: str) -> str:
        """What stands at `address`, by how it answers: no name in our database is believed."""
        if address not in self.kinds:
            self.kinds[address] = self._probe(address)
        return self.kinds[address]

    def _probe(self, address: str) -> str:
        code = str(self.rpc.call("eth_getCode", address, hex(self.block)))
        if len(code) <= 2 or code.startswith("0xef0100"):  # EIP-7702: a key that borrows code is still a key
            return "key"
        for kind, contract, function in (
            ("timelock", "TimelockController", "getMinDelay"),
            ("safe", "Safe", "getOwners"),
        ):
            try:
                self.read(contract, address, function)
            except (RpcError, DecodingError):
                continue
            return kind
        return "contract"

    def _read_members(self) -> None:
        waiting = [holder.address for row in self.report.roles for holder in row.holders]
        seen: set[str] = set()
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            kind = self.kind_of(address)
            if kind == "timelock":
                timelock = self._timelock(address)
                self.report.timelocks.append(timelock)
                waiting += [member for members in timelock.members.values() for member in members]
            elif kind == "safe":
                self.report.safes.append(self._safe(address))

    def _timelock(self, address: str) -> TimelockRow:
        logs = self._logs("TimelockController", address)
        self.timelock_logs[address] = logs
        accounts = sorted({log.args["account"] for log in logs if log.event == "RoleGranted"} | {ZERO_ADDRESS})
        pairs = [(name, role, account) for name, role in _TIMELOCK_ROLES.items() for account in accounts]
        answers = self.read_many(
            [("TimelockController", address, "hasRole", (role, account)) for _n, role, account in pairs]
        )
        members: dict[str, list[str]] = {name: [] for name in _TIMELOCK_ROLES}
        for (name, _role, account), (held,) in zip(pairs, answers, strict=True):
            if held:
                members[name].append(account)
        (delay,) = self.read("TimelockController", address, "getMinDelay")
        return TimelockRow(address, int(delay), {name: tuple(found) for name, found in members.items()})

    def _safe(self, address: str) -> SafeRow:
        (owners,) = self.read("Safe", address, "getOwners")
        (threshold,) = self.read("Safe", address, "getThreshold")
        modules, _next = self.read("Safe", address, "getModulesPaginated", _FIRST_MODULE, 100)
        guard = str(self.rpc.call("eth_getStorageAt", address, _GUARD_SLOT, hex(self.block)))
        return SafeRow(
            address=address,
            owners=tuple(checksummed(owner) for owner in owners),
            threshold=int(threshold),
            modules=tuple(checksummed(module) for module in modules),
            guard=checksummed("0x" + guard[-40:]) if int(guard, 16) else "",
        )

    # --- what is announced, and what is set

    def _read_schedules(self, logs: list[DecodedLog]) -> None:
        announced = {log.args["operationId"]: log.args for log in logs if log.event == "OperationScheduled"}
        for operation, args in announced.items():
            # Straight from storage it would be the raw time; the view hides one that has expired, and that is said.
            (at,) = self.read("AccessManager", self.manager, "getSchedule", bytes.fromhex(operation[2:]))
            if at:
                self._open("manager", operation, args["caller"], args["target"], args["data"], int(at))
        for timelock in self.report.timelocks:
            self._read_timelock_schedules(timelock)

    def _read_timelock_schedules(self, timelock: TimelockRow) -> None:
        for log in self.timelock_logs[timelock.address]:
            if log.event != "CallScheduled":
                continue
            operation = bytes.fromhex(log.args["id"][2:])
            (at,) = self.read("TimelockController", timelock.address, "getTimestamp", operation)
            if at > 1:
                self._open("timelock", log.args["id"], timelock.address, log.args["target"], log.args["data"], int(at))

    def _open(self, where: str, operation: str, caller: str, target: str, data: str, at: int) -> None:
        ready = datetime.fromtimestamp(at, UTC)
        self.report.schedules.append(OpenSchedule(where, operation, caller, target, data, ready, False))

    def _read_settings(self) -> None:
        targets = sorted({target for target, _selector in self.functions})
        wanted = {
            "InvestorSBT": ("activationDelay", "issuanceLimitPerDay"),
            "SecurityToken": ("controllerDelay", "recoveryDelay", "authorisedAmount"),
            "CollateralVault": ("releaseDelay", "noticePeriod", "releaseLimitPerDay", "saleLimitPerDay"),
        }
        for target in targets:
            kind = self.contracts.get(target, "")
            for name in wanted.get(kind, ()):
                if name in abi.artifact(kind).functions:
                    (value,) = self.read(kind, target, name)
                    self.report.settings.append(Setting(f"{kind} {target}", name, int(value)))
            (delay,) = self.read("AccessManager", self.manager, "getTargetAdminDelay", target)
            self.report.settings.append(Setting(f"{kind} {target}".strip(), "targetAdminDelay", int(delay)))


def _first_admin(logs: list[DecodedLog]) -> str:
    """Whom the manager's constructor made admin: the deployer."""
    for log in logs:
        if log.event == "RoleGranted" and log.args["roleId"] == str(int(ChainRole.ADMIN)):
            return str(log.args["account"])
    return ""


def _named_in(
    logs: list[DecodedLog],
) -> tuple[dict[int, set[str]], dict[tuple[str, bytes], tuple[int, int]], dict[int, str]]:
    """Accounts by role, functions that were ever given to a role, and labels: what the views are then asked about."""
    accounts: dict[int, set[str]] = defaultdict(set)
    functions: dict[tuple[str, bytes], tuple[int, int]] = {}
    labels: dict[int, str] = {}
    for log in logs:
        if log.event == "RoleGranted":
            accounts[int(log.args["roleId"])].add(log.args["account"])
        elif log.event == "RoleLabel":
            labels[int(log.args["roleId"])] = log.args["label"]
        elif log.event == "TargetFunctionRoleUpdated":
            selector = bytes.fromhex(log.args["selector"][2:])
            functions[(log.args["target"], selector)] = (int(log.args["roleId"]), log.block_number)
    return accounts, functions, labels


#: Which function belongs to which role, per contract kind: the design, against which the chain is held.
DESIGN: Final = {
    "InvestorSBT": SBT_FUNCTION_ROLES,
    "SecurityToken": TOKEN_FUNCTION_ROLES,
    "AccessManager": MANAGER_FUNCTION_ROLES,
    "CollateralVault": VAULT_FUNCTION_ROLES,
}
__all__ = ["DESIGN", "GUARDED_ROLES", "PUBLIC", "RoleReport", "role_report"]
