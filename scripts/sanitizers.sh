#!/usr/bin/env bash
# The C tests with the library under AddressSanitizer, and the tests of threads under ThreadSanitizer.
#   scripts/sanitizers.sh [address | thread]
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/nightly.sh
have_nightly "the sanitizers" rust-src || exit 0
host=$(rustc "+$nightly" -vV | sed -n 's/^host: //p')
failed=0

address() {
    local own=target/address library where source name leaks started=$SECONDS
    library=$own/$host/debug/libflockq.a
    CARGO_TARGET_DIR=$own RUSTFLAGS=-Zsanitizer=address cargo "+$nightly" rustc --quiet --features capi --lib \
        --crate-type staticlib -Zbuild-std --target "$host" || return 1
    where=$(mktemp -d)
    for source in tests/capi/*.c examples/c/send_receive.c examples/c/worker.c; do
        name=$(basename "$source" .c)
        # The C side is instrumented too, and brings the run-time library.
        ${CC:-cc} -std=c99 -g -O1 -fsanitize=address -fno-omit-frame-pointer -Iinclude "$source" "$library" \
            -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc -o "$own/$name" || return 1
        # A forked child never gets to free what its parent's other threads were holding.
        leaks=1
        [ "$name" = processes ] && leaks=0
        mkdir "$where/$name"
        ASAN_OPTIONS=detect_leaks=$leaks FLOCKQ_DIR=$where/$name "$own/$name" "$where/$name" > "$where/$name.log" 2>&1 ||
            { tail -n 60 "$where/$name.log"; return 1; }
    done
    rm -rf "$where"
    echo "PROVED the C tests and examples under AddressSanitizer in $((SECONDS - started)) s"
}

# The standard library is built too: what it does not tell would look like a race.
thread() {
    local log=target/thread.log started=$SECONDS
    CARGO_TARGET_DIR=target/thread RUSTFLAGS=-Zsanitizer=thread TSAN_OPTIONS=halt_on_error=1 \
        cargo "+$nightly" test --quiet -Zbuild-std --target "$host" --test threads --test waiting -- --nocapture > $log 2>&1 ||
        { tail -n 80 $log; return 1; }
    CARGO_TARGET_DIR=target/thread RUSTFLAGS=-Zsanitizer=thread TSAN_OPTIONS=halt_on_error=1 \
        cargo "+$nightly" test --quiet -Zbuild-std --target "$host" --lib store:: -- --nocapture >> $log 2>&1 ||
        { tail -n 80 $log; return 1; }
    sed -n 's/^PROVED \(.*\)/PROVED \1, under ThreadSanitizer/p' $log
    echo "PROVED $(awk '/^test result: ok/ {sum += $4} END {print sum}' $log) tests under ThreadSanitizer in $((SECONDS - started)) s"
}

[ $# -gt 0 ] || set -- address thread
for which in "$@"; do
    "$which" || { echo "the $which sanitizer FAILED"; failed=1; }
done
exit $failed
