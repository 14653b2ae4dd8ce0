#!/usr/bin/env bash
# Puts one deliberate bug after the other into the library and asks the tests that have to find it whether they do.
#   scripts/mutants.sh [NAME...]
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/mutants

# The bug, and the tests that find it.
mutants=(
    "no_journal_sync      --lib queue::journalled"
    "no_directory_sync    --lib queue::"
    "no_snapshot_sync     --lib queue::journalled"
    "sync_before_write    --lib queue::journalled"
    "no_truncation        --lib queue::journalled"
    "sync_retried         --lib queue::journalled"
    "inherited_trusted    --lib queue::journalled"
    "journal_named_early  --lib queue::crashes"
    "lock_unlinked        --lib queue::tests"
    "no_inode_check       --lib queue::tests"
    "any_lock_file        --lib queue::journalled"
    "move_forgotten       --lib queue::moving"
    "no_salt              --lib format::frame"
    "length_trusted       --features cli --test hostile"
    "wall_clock_leases    --lib index::"
    "attempt_uncounted    --lib index::"
    "ack_unchecked        --lib index::"
    "private_futex        --lib store::real::page"
    "unlock_in_child      C processes"
)
# A C test, linked with the library that has the bug.
c_test() {
    local where=$CARGO_TARGET_DIR/c-$1
    cargo rustc --quiet --features capi --lib --crate-type staticlib &&
        cc -std=c99 -g -Iinclude "tests/capi/$1.c" "$CARGO_TARGET_DIR/debug/libflockq.a" \
            -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc -o "$where.test" || return 0
    rm -rf "$where" && mkdir "$where"
    timeout 60 "$where.test" "$where" || echo "test $1.c ... FAILED"
}

log=$(mktemp)
# What proptest writes down of the bugs made here is of no use afterwards.
regressions=proptest-regressions
[ -e $regressions ] && regressions=
trap 'rm -rf "$log" $regressions' EXIT
survived=0
for entry in "${mutants[@]}"; do
    read -r name tests <<< "$entry"
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    export RUSTFLAGS="--cfg mutant=\"$name\""
    # shellcheck disable=SC2086
    case $tests in
        C*) c_test "${tests#C }" ;;
        *) timeout 600 cargo test --quiet $tests ;;
    esac > "$log" 2>&1
    found=$(sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p; s/^(.*) --- FAILED$/\1/p' "$log" | sort -u | head -3 | paste -sd ' ')
    if [ -n "$found" ]; then
        echo "MUTANT $name found by $found"
    elif grep -q 'process didn.t exit successfully\|timed out' "$log"; then
        echo "MUTANT $name found by the end of the process"
    else
        echo "MUTANT $name SURVIVED ($tests)"
        tail -n 5 "$log"
        survived=$((survived + 1))
    fi
done
echo "$survived mutants survived"
[ "$survived" -eq 0 ]
