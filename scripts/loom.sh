#!/bin/sh
# Checks the bridge's loom models: every interleaving of up to LOOM_MAX_PREEMPTIONS preemptions.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/loom
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-5}"
# Optimised, but quick to build.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
exec cargo test --release -p miolo-bridge --test 'loom_*' "$@"
