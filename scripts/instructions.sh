#!/usr/bin/env bash
# Counts the instructions of each operation with callgrind, and compares them with tests/instructions/expected.txt. They do not
# depend on how busy the machine is. What the system does is not in them: tests/syscalls.rs counts its calls.
#   scripts/instructions.sh check | update
set -euo pipefail
cd "$(dirname "$0")/.."
CC=${CC:-cc}
table=tests/instructions/expected.txt
# What another version of the compiler or the C library may change, in percent.
tolerance=10

left_out() {
    echo "LEFT OUT: instruction counts: $1" >&2
    [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || exit 1
    exit 0
}

# One line for each kind of work: its name, and the instructions for each message.
measure() {
    # Not local: the trap runs when the function is gone.
    where=$(mktemp -d)
    trap 'rm -rf "$where"' EXIT
    mkdir "$where/spool"
    $CC -std=c99 -Wall -Wextra -Werror -g -O1 -Iinclude tests/instructions/work.c target/release/libflockq.a \
        -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc -o "$where/work"
    valgrind -q --tool=callgrind --instr-atstart=no --callgrind-out-file="$where/counts" \
        "$where/work" "$where/spool" 2> "$where/log" || { cat "$where/log" >&2; exit 1; }
    cat "$where"/counts.[1-9] | sed -n -e 's/^desc: Trigger: Client Request: //p' -e 's/^totals: //p' | paste -d' ' - - |
        awk '{ printf "%-14s %6d\n", $1, $3 / $2 }'
}

compiler() { rustc --version | cut -d' ' -f1-2; }

update() {
    local counts
    counts=$(measure)
    {
        echo "# Instructions for each message, with $(compiler) on $(uname -m); written by scripts/instructions.sh update"
        echo "$counts"
    } > $table
    cat $table
}

check() {
    local counts
    counts=$(measure)
    awk -v tolerance=$tolerance -v table=$table -v compiler="$(compiler)" '
        FILENAME == table && /^#/ { made = substr($0, 3); sub(/.*, with /, "", made); sub(/;.*/, "", made); next }
        FILENAME == table { expected[$1] = $2; left++; next }
        !($1 in expected) { print $1 ": not in " table "; scripts/instructions.sh update writes it down"; bad = 1; next }
        {
            left--
            off = ($2 - expected[$1]) * 100 / expected[$1]
            printf "%-14s %6d instructions for each message, expected %6d (%+.1f %%)\n", $1, $2, expected[$1], off
        }
        off > tolerance || off < -tolerance {
            advice = off > 0 ? "find out why; if it is worth that," : "good:"
            printf "%s: expected %d instructions for each message, found %d (with %s; the table is of %s); %s scripts/instructions.sh update writes it down\n",
                $1, expected[$1], $2, compiler, made, advice
            bad = 1
        }
        END {
            if (left != 0) { print left " kinds of work of " table " were not counted"; bad = 1 }
            exit bad
        }' $table - <<< "$counts"
}

{ command -v valgrind && $CC -E -include valgrind/callgrind.h -x c /dev/null; } > /dev/null 2>&1 ||
    left_out "valgrind is missing (apt-get install valgrind)"
[ "$(uname -m)" = x86_64 ] || left_out "the table is of x86_64, this is $(uname -m)"
case "${1:-}" in
    check) check ;;
    update) update ;;
    *) echo "usage: scripts/instructions.sh check | update" >&2; exit 2 ;;
esac
