#!/usr/bin/env bash
# C: builds the driver and the examples against the static library, and runs the C tests.
#   scripts/c.sh build | test
set -euo pipefail
cd "$(dirname "$0")/.."
CC=${CC:-cc}
CXX=${CXX:-c++}
strict="-Wall -Wextra -Werror -pedantic -g -O1 -Iinclude"
link="target/release/libflockq.a -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"

build() {
    mkdir -p target/drivers target/capi
    # shellcheck disable=SC2086
    $CC -std=c99 $strict tests/drivers/driver.c $link -o target/drivers/c
}

run_tests() {
    build
    local source name
    for source in tests/capi/*.c examples/c/*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086
        $CC -std=c99 $strict "$source" $link -o "target/capi/$name"
        # shellcheck disable=SC2086
        $CXX -std=c++17 -x c++ $strict "$source" -x none $link -o "target/capi/$name-cpp"
    done
    # Not local: the trap runs when the function is gone.
    where=$(mktemp -d)
    trap 'rm -rf "$where"' EXIT
    for source in tests/capi/*.c; do
        name=$(basename "$source" .c)
        for program in "$name" "$name-cpp"; do
            mkdir "$where/$program"
            "target/capi/$program" "$where/$program"
        done
        if command -v valgrind > /dev/null; then
            # What Rust keeps until the process ends is reachable, or looks "possibly lost" through inner pointers.
            mkdir "$where/$name-valgrind"
            # A forked child never gets to free what its parent's other threads were holding.
            local leaks=full
            [ "$name" = processes ] && leaks=no
            valgrind -q --leak-check=$leaks --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=99 \
                "target/capi/$name" "$where/$name-valgrind" 2> "$where/valgrind.log" ||
                { cat "$where/valgrind.log"; exit 1; }
        elif [ "${FLOCKQ_REQUIRE_ALL:-}" = 1 ]; then
            echo "valgrind is missing: apt-get install valgrind" >&2
            exit 1
        else
            echo "LEFT OUT: valgrind is missing (apt-get install valgrind)" >&2
        fi
    done
    for name in send_receive worker; do
        (cd "$where" && FLOCKQ_DIR="$where/example-$name" "$OLDPWD/target/capi/$name")
    done
}

case "${1:-}" in
    build) build ;;
    test) run_tests ;;
    *) echo "usage: scripts/c.sh build | test" >&2; exit 2 ;;
esac
