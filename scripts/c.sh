#!/usr/bin/env bash
# C: builds the driver and the examples against the static library, and runs the C tests.
#   scripts/c.sh build | test
set -euo pipefail
cd "$(dirname "$0")/.."
CC=${CC:-cc}
CXX=${CXX:-c++}
strict="-Wall -Wextra -Werror -pedantic -g -O1 -Iinclude"
link="target/release/libflockq.a -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"

# Whether a tool is there; where all are required it must be.
have() {
    command -v "$1" > /dev/null && return 0
    echo "LEFT OUT: $1 is missing (apt-get install $1)" >&2
    [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || exit 1
    return 1
}

build() {
    mkdir -p target/drivers target/capi
    # shellcheck disable=SC2086
    $CC -std=c99 $strict tests/drivers/driver.c tests/drivers/request.c $link -o target/drivers/c
    # shellcheck disable=SC2086
    $CC -std=c99 $strict examples/c/mail_daemon.c $link -o target/drivers/mail_daemon_c
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
            echo "test c::$program ... ok"
        done
        if have valgrind; then
            # What Rust keeps until the process ends is reachable, or looks "possibly lost" through inner pointers.
            mkdir "$where/$name-valgrind"
            # A forked child never gets to free what its parent's other threads were holding.
            local leaks=full
            [ "$name" = processes ] && leaks=no
            valgrind -q --leak-check=$leaks --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=99 \
                "target/capi/$name" "$where/$name-valgrind" 2> "$where/valgrind.log" ||
                { cat "$where/valgrind.log"; exit 1; }
            echo "test c::$name-valgrind ... ok"
        fi
    done
    for name in send_receive worker; do
        (cd "$where" && FLOCKQ_DIR="$where/example-$name" "$OLDPWD/target/capi/$name")
    done
    for name in send_receive worker mail_daemon; do
        says_what_failed "target/capi/$name"
        says_what_failed "target/capi/$name-cpp"
    done
    have pkg-config && installed
    return 0
}

# An example that cannot open its spool ends with exit code 1 and one line that says which directory it was.
says_what_failed() {
    local spool=$where/a-file status=0
    touch "$spool"
    FLOCKQ_DIR=$spool "$1" "$spool" > "$where/output" 2> "$where/errors" || status=$?
    if [ $status -ne 1 ] || [ "$(wc -l < "$where/errors")" -ne 1 ] || ! grep -qF "$spool" "$where/errors"; then
        echo "$1 ended with $status and said:" >&2
        cat "$where/errors" >&2
        exit 1
    fi
    echo "test c::$(basename "$1")-fails ... ok"
}

# What `make install` puts in place is enough to build and run a program, and exports what the header declares.
installed() {
    local prefix=$where/prefix version
    DESTDIR='' scripts/install.sh "$prefix"
    version=$("$prefix/bin/flockq" --version)
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    [ "flockq $(pkg-config --modversion flockq)" = "$version" ] || { echo "flockq.pc is of another version than $version"; exit 1; }
    # shellcheck disable=SC2046
    $CC -std=c99 examples/c/send_receive.c $(pkg-config --cflags --libs flockq) -o "$where/dynamic"
    (cd "$where" && LD_LIBRARY_PATH=$prefix/lib FLOCKQ_DIR=$where/dynamic-spool ./dynamic)
    # shellcheck disable=SC2046
    $CC -std=c99 examples/c/send_receive.c $(pkg-config --cflags flockq) "$prefix/lib/libflockq.a" \
        $(pkg-config --static --libs-only-l flockq | sed 's/-lflockq//') -o "$where/static"
    (cd "$where" && FLOCKQ_DIR=$where/static-spool ./static)
    local soname
    soname=$(readelf --dynamic "$prefix/lib/libflockq.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    [ -e "$prefix/lib/$soname" ] || { echo "the library is called $soname, which is not there"; exit 1; }
    diff <(nm --dynamic --defined-only "$prefix/lib/libflockq.so" | sed -n 's/.* T //p' | sort) \
        <($CC -E -P "$prefix/include/flockq.h" | grep -o 'flockq_[a-z_]*(' | tr -d '(' | grep -v '^flockq_bytes_of$' | sort -u) ||
        { echo "the library (<) does not export what the header (>) declares"; exit 1; }
}

case "${1:-}" in
    build) build ;;
    test) run_tests ;;
    *) echo "usage: scripts/c.sh build | test" >&2; exit 2 ;;
esac
