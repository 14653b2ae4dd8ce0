#!/usr/bin/env bash
# Puts the header, the libraries, the pkg-config file and the command line below a prefix. Builds what is missing or
# older than its sources.
#   scripts/install.sh PREFIX        (DESTDIR is honoured)
set -euo pipefail
prefix=${1:?usage: scripts/install.sh PREFIX}
cd "$(dirname "$0")/.."
for built in libflockq.a libflockq.so flockq; do
    if [ ! -e "target/release/$built" ] ||
        [ -n "$(find src build.rs Cargo.toml Cargo.lock include/cbindgen.toml -newer "target/release/$built")" ]; then
        scripts/make.sh build
        break
    fi
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# While the version is 0.x, the ABI may change with the second number.
abi=${version%.*}
to=${DESTDIR:-}$prefix
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
