#!/bin/sh
# What is proved about the contracts besides `make test`: sh deploy/prove.sh [slither] [halmos] [long]; without a name, all three.
# The tools (contracts/requirements-prove.txt) are installed under .run/tools on first use. Exit status 1 if anything fails.
cd "$(dirname "$0")/.." || exit 1
root=$PWD
tools=$root/.run/tools/prove
wanted=$(cksum <contracts/requirements-prove.txt | tr ' ' '-')
failed=0
# Slither and halmos look for `forge` there; it is the one from npm.
PATH=$root/node_modules/.bin:$PATH
export PATH

install() {
  [ -f "$tools/installed-$wanted" ] && return
  echo "  installing the provers …"
  mkdir -p "$root/.run/tools"
  python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check -r contracts/requirements-prove.txt \
    >"$root/.run/tools/install.log" 2>&1 || { cat "$root/.run/tools/install.log"; exit 1; }
  touch "$tools/installed-$wanted"
}

# Every finding has its answer in docs/security/slither.md, or this fails.
slither() (
  install
  cd contracts || exit 1
  findings=$root/.run/tools/slither.json
  rm -f "$findings"
  FOUNDRY_PROFILE=quick forge build src --build-info --force --silent --out out/slither --cache-path cache/slither || exit 1
  FOUNDRY_PROFILE=quick "$tools/bin/slither" . --ignore-compile --foundry-out-directory out/slither --filter-paths node_modules \
    --json "$findings" --fail-none >"$root/.run/tools/slither.log" 2>&1
  node script/check-slither.mjs "$findings"
)

# A branch that cannot be taken is left out only if the solver says so in time. In halmos' own millisecond, by the clock on the wall, it
# often does not, the less so the busier the machine, and paths multiply: 905 instead of 571 for check_Recover….
halmos() (
  install
  cd contracts || exit 1
  status=0
  : >"$root/.run/tools/halmos.log"
  for contract in SymbolicTest SymbolicVaultTest; do
    FOUNDRY_PROFILE=prove "$tools/bin/halmos" --root . --contract "$contract" --forge-build-out out/prove --solver-timeout-branching 100ms \
      --solver-timeout-assertion 120s --no-status >>"$root/.run/tools/halmos.log" 2>&1 || status=1
  done
  grep -E 'PASS|FAIL|TIMEOUT|ERROR|Counterexample|result' "$root/.run/tools/halmos.log"
  exit "$status"
)

# 1,024 runs of 64 calls for each invariant, every pair of keys 64 times 64 calls.
long() (
  cd contracts || exit 1
  FOUNDRY_PROFILE=long forge test
)

for part in ${*:-slither halmos long}; do
  printf '\n== %s\n' "$part"
  "$part" || { failed=1; echo "$part FAILED"; }
done
exit "$failed"
