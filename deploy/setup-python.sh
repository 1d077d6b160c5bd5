#!/bin/sh
# Make .venv with exactly what is pinned. $1: the stamp to leave when done.
set -eu
stamp=$1

good() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
  if good "$candidate"; then python=$candidate; break; fi
done
if [ -z "${python:-}" ]; then
  echo "Musubi needs Python 3.11 or newer; found: $(python3 --version 2>&1 || echo none). Install one, or say PYTHON=/path/to/python3.11 make …" >&2
  exit 1
fi

echo "  installing the Python packages (a minute or two, once) …"
if [ ! -x .venv/bin/python ] || ! good .venv/bin/python; then
  if ! "$python" -m venv --clear .venv >.venv-setup.log 2>&1; then
    tail -5 .venv-setup.log >&2
    echo "$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
  fi
fi
if ! .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --only-binary :all: --no-compile \
  -r requirements-dev.txt >.venv-setup.log 2>&1; then
  tail -20 .venv-setup.log >&2
  echo "installing requirements-dev.txt failed (the whole output: .venv-setup.log)" >&2
  exit 1
fi
rm -f .venv-setup.log .venv/installed-*
touch "$stamp"
