#!/usr/bin/env bash
# Python: a virtual environment with the tools and the module, and the checks.
#   scripts/python.sh build | test
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv

bin="$PWD/$venv/bin"

tools() {
    [ -x "$bin/python" ] || python3 -m venv "$venv"
    if ! cmp -s python/requirements-dev.txt "$venv/requirements"; then
        "$bin/pip" install --quiet --disable-pip-version-check --requirement python/requirements-dev.txt
        cp python/requirements-dev.txt "$venv/requirements"
    fi
}

# What goes into the wheel, and what builds it.
sources() {
    rustc --version
    "$bin/python" --version
    find Cargo.toml Cargo.lock build.rs src python/flockq python/.cargo python/pyproject.toml python/README.md \
        python/LICENSE-* -type f -not -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

build() {
    tools
    # Built again only when something has changed. The stamp is made before the build: a change during it is seen.
    local stamp
    stamp=$(sources | sha256sum)
    if [ "$stamp" != "$(cat "$venv/installed" 2>/dev/null)" ] || ! "$bin/python" -c 'import flockq' 2>/dev/null; then
        # A target directory of its own, as python/.cargo/config.toml has it: the C library is called libflockq.so too.
        # Without build isolation the tools' maturin is used, and nothing is fetched.
        CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/python" PATH="$bin:$PATH" \
            "$bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-build-isolation ./python
        echo "$stamp" > "$venv/installed"
    fi
}

run_tests() {
    build
    cd python
    "$bin/ruff" format --check . ../tests/drivers ../scripts ../benches/peers
    "$bin/ruff" check . ../tests/drivers ../scripts ../benches/peers
    "$bin/mypy" --strict flockq tests examples ../tests/drivers/driver.py ../scripts/reliability.py
    (cd ../benches/peers && "$bin/mypy" ./*.py && "$bin/pytest" -q)
    (cd ../benches/peers/python && "$bin/mypy" --config-file ../pyproject.toml ./*.py)
    # From elsewhere, so that the installed module is what is looked at.
    (cd tests && "$bin/python" -m mypy.stubtest flockq --ignore-missing-stub)
    # `make prove` wants each test by its name.
    local tell=-q
    [ "${FLOCKQ_PROVE:-}" != 1 ] || tell=-v
    "$bin/pytest" $tell
}

case "${1:-}" in
    build) build ;;
    test) run_tests ;;
    *) echo "usage: scripts/python.sh build | test" >&2; exit 2 ;;
esac
