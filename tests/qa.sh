#!/bin/sh
# What a reviewer should not have to look for. Every check runs, then one exit status.
cd "$(dirname "$0")/.." || exit 1
bin=.venv/bin
failed=0
offline="DJANGO_SETTINGS_MODULE=portal.settings.local DATABASE_URL=postgresql:///offline REDIS_URL=redis://127.0.0.1:1/0 CHAIN_RPC_URL=http://127.0.0.1:1"
evidence=EVIDENCE_KEYS=$($bin/python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')
secret=SECRET_KEY=$($bin/python -c 'import secrets; print(secrets.token_urlsafe(60))')

check() {
  name=$1
  shift
  if output=$("$@" 2>&1); then echo "  ok      $name"; else
    failed=1
    printf '  FAILED  %s\n%s\n' "$name" "$output"
  fi
}
locked_to_no_registry() { ! grep -n '"resolved"' package-lock.json; }
no_migration_missing() { $bin/python -m portal.demo with-services -- $bin/python manage.py makemigrations --check --dry-run; }

check "ruff" $bin/ruff check .
check "ruff format" $bin/ruff format --check .
check "mypy" env $offline $secret $bin/mypy portal chain kyc tokens lending
check "types of the front end" npm run --silent check
check "translations" env $offline $secret $bin/python manage.py translations check
check "migrations" no_migration_missing
check "check --deploy" env $offline $secret $evidence DJANGO_SETTINGS_MODULE=portal.settings.production ALLOWED_HOSTS=portal.example \
  $bin/python manage.py check --deploy --fail-level WARNING
check "properties and tests of the contracts" node contracts/script/check-properties.mjs
check "slither" sh deploy/prove.sh slither
check "package-lock names no registry" locked_to_no_registry
exit $failed
