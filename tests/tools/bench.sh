#!/bin/sh
# The standard table (`make bench`): random models of three shapes with 1 to 3 planes, prompts and
# decoding, one thread and all cores. Writes $BUILD/bench.csv. Needs TRITSTACK, BUILD; runs in the
# repo root.
set -e
all=$(getconf _NPROCESSORS_ONLN)
[ "$all" = 1 ] && threads=1 || threads=1,$all
mkdir -p "$BUILD"
parts=
for shape in Qwen3-0.6B Llama-3.2-1B BitNet-2B-4T; do
  echo "bench: $shape" >&2
  part=$BUILD/bench-$shape.csv
  "$TRITSTACK" bench --config "tests/tools/shapes/$shape.json" --planes 1,2,3 -t "$threads" -o csv >"$part"
  parts="$parts $part"
done
# shellcheck disable=SC2086
awk 'FNR > 1 || NR == 1' $parts >"$BUILD/bench.csv"
echo "$BUILD/bench.csv"
