#!/bin/sh
# Install node_modules exactly as package-lock.json says. $1: the stamp to leave when done.
set -eu
stamp=$1

# Vite, which builds the front end, asks for 20.19.
if ! command -v node >/dev/null 2>&1 ||
  ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; then
  echo "Musubi needs Node 20.19 or newer; found: $(node --version 2>/dev/null || echo none). See https://nodejs.org" >&2
  exit 1
fi
echo "  installing the Node packages …"
log=.npm-setup.log
if ! npm ci --no-audit --no-fund --no-progress --loglevel=error >"$log" 2>&1; then
  tail -20 "$log" >&2
  echo "npm ci failed (the whole output: $log)" >&2
  exit 1
fi
rm -f "$log" node_modules/.installed-*
touch "$stamp"
