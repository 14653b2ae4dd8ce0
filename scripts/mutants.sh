#!/usr/bin/env bash
# Puts one deliberate bug after the other into the library and asks the tests that have to find it whether they do.
#   scripts/mutants.sh [NAME...]
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/mutants

# The bug, and the tests that find it: of the library itself, of the command line, or in C.
mutants=(
    "no_journal_sync      queue::journalled queue::crashes::short"
    "no_directory_sync    queue::tests queue::crashes::short"
    "no_snapshot_sync     queue::journalled queue::crashes::short"
    "sync_before_write    queue::journalled queue::crashes::short"
    "journal_named_early  queue::crashes"
    "no_truncation        queue::journalled queue::crashes::failures"
    "sync_retried         queue::journalled"
    "inherited_trusted    queue::journalled queue::crashes::failures"
    "lock_unlinked        queue::tests::the_lock_file_is_the_same"
    "no_inode_check       queue::tests"
    "lock_unproved        cli: security"
    "any_lock_file        queue::journalled"
    "move_forgotten       queue::moving"
    "no_salt              format::frame"
    "length_trusted       cli: hostile"
    "wall_clock_leases    index::"
    "attempt_uncounted    index::"
    "ack_unchecked        index::"
    "private_futex        store::real::page"
    "unlock_in_child      C: processes"
)

# Only the library is built anew for each bug.
mutated() { cargo rustc --quiet "$@" -- --cfg "mutant=\"$name\""; }

library_test() {
    local program
    program=$(mutated --lib --profile test --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [ -n "$program" ] && timeout 600 "$program" "$@"
}

# A test of the command line, which is built with everything else.
command_test() { RUSTFLAGS="--cfg mutant=\"$name\"" timeout 900 cargo test --quiet --features cli --test "$1"; }

# A C test, linked with the library that has the bug.
c_test() {
    local where=$CARGO_TARGET_DIR/c-$1
    mutated --features capi --lib --crate-type staticlib &&
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
    # shellcheck disable=SC2086
    case $tests in
        "C: "*) c_test "${tests#C: }" ;;
        "cli: "*) command_test "${tests#cli: }" ;;
        *) library_test $tests ;;
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
