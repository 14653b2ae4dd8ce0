#!/usr/bin/env bash
# What the tests need beside the toolchains. Root installs what is missing with apt-get; who may not is told what to install.
# cargo-deny is built beside the project's own files.
#   scripts/tools.sh
set -uo pipefail
cd "$(dirname "$0")/.."
# mkfs is where only root looks for it; cargo-deny where it is built.
PATH=$PATH:/usr/sbin:/sbin:$PWD/target/tools/bin
tools=(
    valgrind:valgrind pkg-config:pkg-config strace:strace faketime:faketime script:bsdutils setpriv:util-linux
    # The file systems of tests/power.rs.
    fusermount3:fuse3 mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs xfs_io:xfsprogs mkfs.btrfs:btrfs-progs
)

missing() {
    local tool
    for tool in "${tools[@]}"; do
        command -v "${tool%%:*}" > /dev/null || echo "${tool##*:}"
    done
    python3 -c 'import venv, ensurepip' 2> /dev/null || echo python3-venv
}

# Not optimised, because it has little to do.
deny() {
    command -v cargo-deny > /dev/null ||
        CARGO_TARGET_DIR=target/tools/build CARGO_PROFILE_DEV_DEBUG=0 \
            cargo install --quiet --locked --debug --root target/tools cargo-deny
}

mapfile -t packages < <(missing | sort -u)
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" > /dev/null
    mapfile -t packages < <(missing | sort -u)
fi
[ ${#packages[@]} -eq 0 ] || {
    echo "missing: ${packages[*]} (apt-get install ${packages[*]})" >&2
    exit 1
}
deny
