#!/usr/bin/env bash
# What the tests need beside the toolchains. Root installs what is missing with apt-get; who may not is told what to install.
#   scripts/tools.sh
set -uo pipefail
# mkfs is where only root looks for it.
PATH=$PATH:/usr/sbin:/sbin
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

mapfile -t packages < <(missing | sort -u)
[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" > /dev/null
    mapfile -t packages < <(missing | sort -u)
fi
[ ${#packages[@]} -eq 0 ] || {
    echo "missing: ${packages[*]} (apt-get install ${packages[*]})" >&2
    exit 1
}
