#!/bin/sh
# Every test there is, each kind with its own services; a summary and one exit status at the end.
# With arguments: only those kinds (contracts, python, browser).
cd "$(dirname "$0")/.." || exit 1
bin=.venv/bin
summary=
failed=0

stage() {
  name=$1
  shift
  began=$(date +%s)
  printf '\n== %s\n' "$name"
  if "$@"; then answer=passed; else answer=FAILED failed=1; fi
  summary="$summary$(printf '  %-10s %-7s %4d s' "$name" "$answer" "$(($(date +%s) - began))")
"
}

contracts() { (cd contracts && ../node_modules/.bin/forge test); }
# Two workers, each with a database of its own; a file's tests stay together because they share a node.
python() { $bin/python -m portal.demo with-services -- $bin/python -m pytest -n "${TEST_WORKERS:-2}" --dist loadfile -m "not browser"; }
# The journeys meet the portal only as people do, through a demo they start themselves: no service of their own.
journeys() {
  env SECRET_KEY=offline DATABASE_URL=postgresql:///offline REDIS_URL=redis://127.0.0.1:1/0 \
    CHAIN_RPC_URL=http://127.0.0.1:1 $bin/python -m pytest tests/journeys -m browser "$@"
}
# The pictures of the documentation visit pages that the crawl visits; they are taken when they are wanted.
browser() { journeys -k "not pictures"; }
screenshots() { MUSUBI_SCREENSHOTS=1 journeys -k pictures; }

for kind in ${*:-contracts python browser}; do stage "$kind" "$kind"; done

printf '\n== summary\n%s' "$summary"
if [ "$failed" = 0 ]; then echo "all tests passed"; else echo "some tests FAILED"; fi
exit $failed
