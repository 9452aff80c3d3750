#!/bin/sh
# Runs the bridge's tests under Miri, where the nightly toolchain has it. Exits with 3 where it does not.
set -eu
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo "miri.sh: the nightly toolchain has no Miri here; NOTHING WAS RUN." >&2
  echo "miri.sh: rustup +nightly component add miri rust-src" >&2
  exit 3
fi
export CARGO_TARGET_DIR=target/miri
[ $# -gt 0 ] || set -- --tests
exec cargo +nightly miri test -p miolo-bridge "$@"
