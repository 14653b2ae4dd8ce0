#!/usr/bin/env bash
# Tries many schedules of the threads that wait for, wake and interrupt each other: src/schedules.rs.
#   scripts/schedules.sh [SCHEDULES] [TEST]
set -euo pipefail
cd "$(dirname "$0")/.."
export FLOCKQ_SCHEDULES=${1:-1000} CARGO_TARGET_DIR=$PWD/target/schedules RUSTFLAGS="--cfg shuttle"
# Quick to run and quick to build.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
cargo test --release --lib -- "schedules::${2:-}" --nocapture
