#!/bin/sh
# Checks the bridge's loom models: every interleaving. The model with three threads has too many, and is checked with
# every interleaving of up to five preemptions. LOOM_MAX_PREEMPTIONS sets a limit for all of them.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/loom
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
# Optimised, but quick to build.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
large=two_producers_wake_one_sleeper
cargo test --release -p miolo-bridge --test 'loom_*' -- --skip "$large"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-5}"
exec cargo test --release -p miolo-bridge --test loom_parking -- "$large"
