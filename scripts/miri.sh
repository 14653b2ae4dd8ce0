#!/usr/bin/env bash
# Undefined behaviour, looked for by Miri: the parts without system calls, and the boundary of the C ABI.
#   scripts/miri.sh [TEST...]
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/nightly.sh
have_nightly "Miri" miri rust-src || exit 0
# Two halves at once, each a process of its own: Miri runs on one processor.
halves=("format::" "index:: config:: capi::")
[ $# -eq 0 ] || halves=("$*")
# What goes through every bit, byte or step takes hours here, and is gone through without Miri.
skipped=(every_flipped every_truncation every_zeroed a_wrong_byte_costs)
export CARGO_TARGET_DIR=$PWD/target/miri MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=2
mkdir -p target
arguments=()
for name in "${skipped[@]}"; do arguments+=(--skip "$name"); done
miri() { cargo "+$nightly" miri test --quiet --lib --features capi "$@"; }
miri --no-run > target/miri.log 2>&1 || { tail -n 60 target/miri.log; exit 1; }
running=() passed=0 failed=0
# Whoever ends this ends both.
trap 'kill "${running[@]}" 2> /dev/null' EXIT
for half in "${!halves[@]}"; do
    # shellcheck disable=SC2086
    miri -- ${halves[half]} "${arguments[@]}" > "target/miri-$half.log" 2>&1 &
    running+=($!)
done
for half in "${!halves[@]}"; do
    if wait "${running[half]}"; then
        passed=$((passed + $(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "target/miri-$half.log")))
    else
        tail -n 60 "target/miri-$half.log"
        failed=1
    fi
done
[ $failed = 1 ] || echo "PROVED $passed tests under Miri in $SECONDS s"
exit $failed
