#!/usr/bin/env bash
# Builds what is in `targets/` with the coverage that libFuzzer needs, and runs two of them at a time.
# A finding is a file `crash-…`, `timeout-…` or `oom-…`, whose name is printed, and ends this with an error.
set -euo pipefail
into=$(realpath -m "$1")
export seconds=$2 into
cd "$(dirname "$0")"

# The passes of LLVM are on a stable compiler too. With `--target`, nothing that runs while building is built so.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares"
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$(echo $coverage) cargo build --locked --release --target "$target" --target-dir "$into/target"
export programs="$into/target/$target/release"

one() {
  mkdir -p "$into/corpus/$1"
  # What is new goes into the first folder, the one that is kept is only read.
  if "$programs/$1" "$into/corpus/$1" "corpus/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="$into/$1-" >"$into/$1.log" 2>&1; then
    echo "$1: $(sed -n 's/^stat::number_of_executed_units: //p' "$into/$1.log") inputs, no finding"
  else
    echo "$1: a finding, see $into/$1.log"
    grep -E "panicked|^artifact|SUMMARY|Test unit written" -A1 "$into/$1.log" | tail -8
    return 1
  fi
}
export -f one
printf '%s\n' envelope header subject token config | xargs -P 2 -I{} bash -c 'one {}'
