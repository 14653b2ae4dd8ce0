#!/usr/bin/env bash
# The steps behind the Makefile. A missing toolchain is named, with how to install it, and its part is left out loudly;
# with FLOCKQ_REQUIRE_ALL=1 it is an error.
#   scripts/make.sh build | libraries | demo | test | lint
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0 left_out=0
quiet=(--quiet) profile=()
# `make prove` wants each test by its name, and all of them; optimised, because there is so much more to be done.
[ "${FLOCKQ_PROVE:-}" != 1 ] || quiet=(--no-fail-fast) profile=(--profile prove)

say() { printf '\n== %s\n' "$*"; }

# Whether a tool is there; if not, says how to get it.
have() {
    command -v "$1" > /dev/null && return 0
    echo "LEFT OUT: $1 is missing; $2" >&2
    left_out=$((left_out + 1))
    if [ "${FLOCKQ_REQUIRE_ALL:-}" = 1 ]; then
        echo "FLOCKQ_REQUIRE_ALL=1: that is an error" >&2
        exit 1
    fi
    return 1
}

step() {
    local name=$1 started=$SECONDS
    shift
    say "$name"
    if "$@"; then
        passed=$((passed + 1))
        echo "-- $name: passed in $((SECONDS - started)) s"
    else
        failed=$((failed + 1))
        echo "-- $name: FAILED after $((SECONDS - started)) s"
    fi
}

# Without a C compiler Rust cannot link.
rust() { have cargo "install Rust 1.89 or later with rustup (https://rustup.rs)" && c; }
go_() { have go "install Go 1.24 or later (https://go.dev/dl)"; }
python() { have python3 "install Python 3.10 or later with its venv module (apt-get install python3-venv)"; }
c() { have cc "install a C and C++ compiler (apt-get install build-essential)"; }

# The C libraries are linked whole, each by itself: while one invocation makes several kinds of library, LTO is silently
# off. They have a target directory of their own, because cargo keeps one library of a name only.
libraries() {
    local own=target/c kind
    # Says when they were made: cargo does not touch a file that a changed source is no part of. What changes meanwhile is newer.
    mkdir -p target/release && touch target/release/begun || return 1
    cargo build --release --features cli --bin flockq || return 1
    for kind in cdylib staticlib; do
        CARGO_TARGET_DIR=$own cargo rustc --release --features capi --lib --crate-type $kind || return 1
    done
    cp -p $own/release/libflockq.so $own/release/libflockq.a target/release/ && mv target/release/begun target/release/built
}

examples() { cargo build --release --features cli --example driver --example demo; }

# What the tests need. They build the Rust driver themselves, and have no use for the demo.
programs() {
    rust || exit 1
    step "the libraries and the command line" libraries
    c && step "C driver" scripts/c.sh build
    go_ && c && step "Go package and driver" scripts/go.sh build
    python && step "Python module" scripts/python.sh build
}

build() {
    programs
    step "Rust driver and demo" examples
}

demo() {
    local log=target/demo-build.log
    mkdir -p target
    echo "building what is missing (log: $log)"
    # In a shell of its own: what ends the build, as a missing toolchain does, is told here.
    if ! (build; [ "$failed" -eq 0 ]) > "$log" 2>&1; then
        tail -n 30 "$log" >&2
        exit 1
    fi
    grep LEFT "$log"
    exec target/release/examples/demo
}

clippy() {
    cargo clippy --quiet --all-targets --features cli,capi -- -D warnings &&
        CARGO_TARGET_DIR=target/python cargo clippy --quiet --lib --features python -- -D warnings
}

# Installed beside the project's own files, so that a clean clone has it once; not optimised, because it has little to do.
licences() {
    local deny
    deny=$(command -v cargo-deny || echo target/tools/bin/cargo-deny)
    if [ ! -x "$deny" ]; then
        CARGO_TARGET_DIR=target/tools/build CARGO_PROFILE_DEV_DEBUG=0 \
            cargo install --quiet --locked --debug --root target/tools cargo-deny || return 1
    fi
    "$deny" --all-features check bans licenses sources || return 1
    if "$deny" fetch db 2> target/advisories.log; then
        "$deny" --all-features check --disable-fetch advisories
    else
        echo "LEFT OUT: advisories; their database cannot be reached from here" >&2
    fi
}

lint() {
    rust || exit 1
    step "rustfmt" cargo fmt --check
    step "clippy" clippy
    step "licences and sources" licences
    python && step "table of properties" properties
}

rust_tests() {
    cargo test "${quiet[@]}" "${profile[@]}" --features cli,capi
}

# Every test that the table of properties names is there.
properties() {
    python3 scripts/reliability.py --check
}

# Ratios of speed are asked of the release build only.
release_tests() {
    cargo test "${quiet[@]}" --release --features cli --test speed -- --test-threads 1
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --features capi
}

tests() {
    lint
    programs
    step "Rust tests, conformance and interoperability" rust_tests
    step "speed ratios" release_tests
    c && step "instructions of each operation" scripts/instructions.sh check
    step "Rust documentation" documentation
    c && step "C tests" scripts/c.sh test
    go_ && c && step "Go tests" scripts/go.sh test
    python && step "Python tests" scripts/python.sh test
}

case "${1:-}" in
    build) build ;;
    libraries) rust || exit 1; step "the libraries and the command line" libraries ;;
    demo) demo ;;
    lint) lint ;;
    test) tests ;;
    *) echo "usage: scripts/make.sh build | libraries | demo | test | lint" >&2; exit 2 ;;
esac
printf '\n%d passed, %d failed, %d left out\n' "$passed" "$failed" "$left_out"
[ "$failed" -eq 0 ]
