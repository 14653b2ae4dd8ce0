#!/usr/bin/env bash
# Python: a virtual environment with the tools and the module, and the checks.
#   scripts/python.sh build | test
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv

tools() {
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    if ! cmp -s python/requirements-dev.txt "$venv/requirements"; then
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement python/requirements-dev.txt
        cp python/requirements-dev.txt "$venv/requirements"
    fi
}

build() {
    tools
    # Built again only when something that goes into the wheel has changed.
    local stamp sources
    sources=$(git ls-files -co --exclude-standard Cargo.toml Cargo.lock build.rs src python/flockq python/pyproject.toml python/README.md)
    stamp=$(echo "$sources" | sort | xargs cat -- | sha256sum)
    if [ "$stamp" != "$(cat "$venv/installed" 2>/dev/null)" ] || ! "$venv/bin/python" -c 'import flockq' 2>/dev/null; then
        "$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps ./python
        echo "$stamp" > "$venv/installed"
    fi
}

run_tests() {
    build
    cd python
    local bin="../$venv/bin"
    "$bin/ruff" format --check .
    "$bin/ruff" check .
    "$bin/mypy" --strict flockq tests ../tests/drivers/driver.py
    # From elsewhere, so that the installed module is what is looked at.
    (cd tests && "../../$venv/bin/python" -m mypy.stubtest flockq --ignore-missing-stub)
    "$bin/pytest" -q
}

case "${1:-}" in
    build) build ;;
    test) run_tests ;;
    *) echo "usage: scripts/python.sh build | test" >&2; exit 2 ;;
esac
