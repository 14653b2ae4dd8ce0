#!/usr/bin/env bash
# Puts the header, the libraries, the pkg-config file and the command line below a prefix. Builds them when they are missing
# or their sources have changed since.
#   scripts/install.sh PREFIX        (DESTDIR is honoured)
set -euo pipefail

# The pkg-config file is read elsewhere, where a relative path means nothing.
absolute() { case $1 in /* | '') printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac; }

prefix=$(absolute "${1:?usage: scripts/install.sh PREFIX}")
destination=$(absolute "${DESTDIR:-}")
cd "$(dirname "$0")/.."
built=target/release/built
if [ ! -e target/release/libflockq.a ] || [ ! -e target/release/libflockq.so ] || [ ! -e target/release/flockq ] || [ ! -e $built ] ||
    [ -n "$(find src build.rs Cargo.toml Cargo.lock include/cbindgen.toml include/flockq.map -newer $built)" ]; then
    scripts/make.sh libraries
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# While the version is 0.x, the ABI may change with the second number.
abi=${version%.*}
to=$destination$prefix
install -d "$to/include" "$to/lib/pkgconfig" "$to/bin"
install -m 644 include/flockq.h "$to/include/flockq.h"
install -m 755 target/release/libflockq.so "$to/lib/libflockq.so.$version"
ln -sf "libflockq.so.$version" "$to/lib/libflockq.so.$abi"
ln -sf "libflockq.so.$abi" "$to/lib/libflockq.so"
install -m 644 target/release/libflockq.a "$to/lib/libflockq.a"
install -m 755 target/release/flockq "$to/bin/flockq"
cat > "$to/lib/pkgconfig/flockq.pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: flockq
Description: Durable message queues in JSON files, shared by processes in C, Go, Python, Rust and the shell
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lflockq
Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
PC
echo "installed flockq $version below $to"
