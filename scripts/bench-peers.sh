#!/usr/bin/env bash
# flockq beside what people use today: sets the peers up below target/peers, measures, and writes docs/benchmarks.md.
#   scripts/bench-peers.sh [--rounds N] [--only PEER,...] [--work NAME,...] [--scale 0.1] [--report]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
built=$root/target/peers
peers=benches/peers

# Whether a tool is there; where all are required it must be.
have() {
    command -v "$1" > /dev/null && return 0
    echo "LEFT OUT: $1 is missing; $2" >&2
    [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || exit 1
    return 1
}

# The peers in an environment of their own, and the wheel of this tree beside them.
python_worker() {
    scripts/python.sh build
    [ -x "$built/venv/bin/python" ] || python3 -m venv "$built/venv"
    if ! cmp -s .venv/installed "$built/venv/installed" || ! cmp -s $peers/python/requirements.txt "$built/venv/requirements"; then
        "$built/venv/bin/pip" install --quiet --disable-pip-version-check --requirement $peers/python/requirements.txt
        rm -rf "$built/wheel"
        CARGO_TARGET_DIR="$root/target/python" PATH="$root/.venv/bin:$PATH" .venv/bin/pip wheel --quiet \
            --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$built/wheel" ./python
        "$built/venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$built"/wheel/*.whl
        cp .venv/installed "$built/venv/installed"
        cp $peers/python/requirements.txt "$built/venv/requirements"
    fi
}

rust_worker() {
    CARGO_TARGET_DIR="$built/rust" cargo build --quiet --release --locked --manifest-path $peers/rust/Cargo.toml
}

setup() {
    mkdir -p "$built"
    if have cargo "install Rust 1.89 or later with rustup (https://rustup.rs)"; then
        python_worker
        rust_worker
        if have go "install Go 1.24 or later (https://go.dev/dl)"; then
            $peers/go/build.sh "$built/go-worker"
        fi
    fi
}

have python3 "install Python 3.10 or later with its venv module (apt-get install python3-venv)" || exit 1
case " $* " in
    *" --report "*) ;;
    *) setup ;;
esac
exec python3 $peers/run.py "$@"
