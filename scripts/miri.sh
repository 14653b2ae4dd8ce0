#!/usr/bin/env bash
# Undefined behaviour, looked for by Miri: the parts without system calls, and the boundary of the C ABI.
#   scripts/miri.sh [TEST...]
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/nightly.sh
have_nightly "Miri" miri rust-src || exit 0
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(format:: index:: config:: capi::)
# What goes through every bit, byte or step takes hours here, and is gone through without Miri.
skipped=(every_flipped every_truncation)
export CARGO_TARGET_DIR=$PWD/target/miri MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4
arguments=()
for name in "${skipped[@]}"; do arguments+=(--skip "$name"); done
cargo "+$nightly" miri test --quiet --lib --features capi -- "${tests[@]}" "${arguments[@]}" > target/miri.log 2>&1
status=$?
if [ $status = 0 ]; then
    echo "PROVED $(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' target/miri.log) tests under Miri in $SECONDS s"
else
    tail -n 60 target/miri.log
fi
exit $status
