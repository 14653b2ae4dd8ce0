#!/usr/bin/env bash
# The steps behind the Makefile. A missing toolchain is named, with how to install it, and its part is left out loudly;
# with FLOCKQ_REQUIRE_ALL=1 it is an error.
#   scripts/make.sh build | libraries | demo | test | lint
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0 left_out=0
# Where scripts/tools.sh builds what it cannot install.
PATH=$PATH:$PWD/target/tools/bin
# The library's own tests go through disks in memory again and again: optimised a little, they take a third of the time. What they
# depend on, and all else, is built more quickly than it would gain.
quiet=(--quiet) profile=() optimised=(--config profile.dev.opt-level=1 --config 'profile.dev.package."*".opt-level=0')
# `make prove` wants each test by its name, and all of them; optimised, because there is so much more to be done.
[ "${FLOCKQ_PROVE:-}" != 1 ] || quiet=(--no-fail-fast) profile=(--profile prove) optimised=()

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
deny() { have cargo-deny "install it with scripts/tools.sh"; }

# The shared C library is linked from the static one: the code of both is compiled and optimised once.
libraries() {
    local to=target/release abi
    # Says when they were made: cargo does not touch a file that a changed source is no part of. What changes meanwhile is newer.
    mkdir -p $to && touch $to/begun || return 1
    cargo build --release --features cli --bin flockq || return 1
    cargo rustc --release --features capi --lib --crate-type staticlib || return 1
    # While the version is 0.x, the ABI may change with the second number; the name of the library says so.
    abi=$(sed -n 's/^version = "\([0-9]*\.[0-9]*\)\..*/\1/p' Cargo.toml | head -n 1)
    ${CC:-cc} -shared -o $to/libflockq.so -Wl,-soname,libflockq.so."$abi" -Wl,--version-script=include/flockq.map \
        -Wl,--gc-sections,-z,relro,-z,now -Wl,--whole-archive $to/libflockq.a -Wl,--no-whole-archive \
        -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc || return 1
    mv $to/begun $to/built
}

examples() { cargo build --quiet "${profile[@]}" --features cli,capi --examples; }

# What the tests need besides the examples, which they build themselves. The Python module is built beside the
# libraries: each is optimised as a whole, which keeps one processor busy.
programs() {
    rust || exit 1
    local module=
    if python; then
        # What runs in the background does not hear Ctrl-C.
        trap 'trap "" TERM; kill 0; exit 130' INT
        mkdir -p target
        scripts/python.sh build > target/python-build.log 2>&1 &
        module=$!
    fi
    step "the libraries and the command line" libraries
    c && step "C driver" scripts/c.sh build
    go_ && c && step "Go package and driver" scripts/go.sh build
    [ -z "$module" ] || step "Python module" ended "$module" target/python-build.log
}

# Waits for what runs in the background, and says what it said.
ended() {
    local status=0
    wait "$1" || status=$?
    cat "$2"
    return $status
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
    exec target/debug/examples/demo
}

clippy() {
    cargo clippy --quiet --all-targets --features cli,capi -- -D warnings &&
        cargo clippy --quiet --lib --features python -- -D warnings
}

licences() {
    cargo-deny --all-features check bans licenses sources || return 1
    if cargo-deny fetch db 2> target/advisories.log; then
        cargo-deny --all-features check --disable-fetch advisories
    else
        echo "LEFT OUT: advisories; their database cannot be reached from here" >&2
    fi
}

lint() {
    rust || exit 1
    step "rustfmt" cargo fmt --check
    step "clippy" clippy
    deny && step "licences and sources" licences
    python && step "table of properties" properties
}

library_tests() {
    cargo test "${quiet[@]}" "${profile[@]}" "${optimised[@]}" --features cli,capi --lib
}

# With the examples, which they run.
program_tests() {
    examples && cargo test "${quiet[@]}" "${profile[@]}" --features cli,capi --bins --test '*'
}

# Every test that the table of properties names is there.
properties() {
    python3 scripts/reliability.py --check
}

# Its examples are tests.
documentation() {
    cargo test "${quiet[@]}" "${profile[@]}" --features cli,capi --doc &&
        RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --features capi
}

tests() {
    lint
    programs
    step "Rust: the library" library_tests
    step "Rust: programs, conformance and interoperability" program_tests
    step "Rust: documentation" documentation
    c && step "instructions of each operation" scripts/instructions.sh check
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
