#!/usr/bin/env bash
# Go: puts the static library where the package links it, builds the driver, runs the checks.
#   scripts/go.sh build | test
set -euo pipefail
cd "$(dirname "$0")/.."
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

build() {
    local place
    place="go/internal/native/$(go env GOOS)_$(go env GOARCH)"
    mkdir -p "$place" target/drivers
    cmp -s target/release/libflockq.a "$place/libflockq.a" || cp target/release/libflockq.a "$place/libflockq.a"
    cmp -s include/flockq.h go/internal/native/flockq.h || cp include/flockq.h go/internal/native/flockq.h
    (cd go && go build -o ../target/drivers/go ./internal/driver && go build -o ../target/drivers/mail_daemon_go ./examples/mail_daemon)
}

run_tests() {
    build
    cd go
    test -z "$(gofmt -l .)" || { gofmt -d .; exit 1; }
    go vet ./...
    go run "$staticcheck" ./...
    # Go's test cache does not see the static library, so nothing is cached.
    # `make prove` wants each test by its name.
    local tell=()
    [ "${FLOCKQ_PROVE:-}" != 1 ] || tell=(-v)
    go test -race -count=1 "${tell[@]}" ./...
    # Collects garbage as often as it can: a handle that is freed too early shows here.
    GOGC=1 go test -count=1 -run 'Every|Handles' ./...
}

case "${1:-}" in
    build) build ;;
    test) run_tests ;;
    *) echo "usage: scripts/go.sh build | test" >&2; exit 2 ;;
esac
