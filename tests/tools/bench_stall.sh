#!/bin/sh
# Does decoding ever stall (`make bench-stall`)? RUNS runs (default 200) of about 2 seconds with 2
# threads, on a quiet machine and then beside one busy process per core; in neither may a run fall
# below 0.6 of the median. Runs in which the hypervisor took more than 3 % of the CPUs' time are
# left out and counted. Needs TRITSTACK; runs in the repo root. Exit 1 when a run stalled.
runs=${RUNS:-200}
folder=$(mktemp -d)
busy=
trap 'kill $busy 2>/dev/null; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

decode() { # $1: tokens; prints tokens per second
  "$TRITSTACK" bench -m "$folder/model.trit" -p 0 -n "$1" -r 1 -t 2 -o jsonl 2>"$folder/err" |
    sed -n 's/.*"avg_ts": \([0-9.e+-]*\),.*/\1/p'
}
ticks() { # all ticks of all CPUs, and those that were stolen
  awk '/^cpu / { for (i = 2; i <= 9; ++i) sum += $i; print sum, $9; exit }' /proc/stat
}

measure() { # $1: what else runs
  tokens=$(decode 16 | awk '{ n = int($1 * 2); print n < 1 ? 1 : n }')
  : >"$folder/speeds"
  for _ in $(seq "$runs"); do
    before=$(ticks)
    speed=$(decode "$tokens")
    [ -n "$speed" ] || { cat "$folder/err"; exit 1; }
    echo "$before $(ticks) $speed" >>"$folder/speeds"
  done
  awk '{ print ($4 - $2 > 0.03 * ($3 - $1)), $5 }' "$folder/speeds" | sort -k 1,1n -k 2,2n |
    awk -v load="$1" '
      $1 { stolen++; next }
      { speed[++n] = $2 }
      END {
        middle = n % 2 ? speed[(n + 1) / 2] : (speed[n / 2] + speed[n / 2 + 1]) / 2
        for (i = 1; i <= n; ++i) slow += speed[i] < 0.6 * middle
        printf "%s: %d runs, %d left out for steal, median %.2f t/s, slowest %.2f (%.2f), stalled %d\n",
          load, n, stolen, middle, speed[1], middle ? speed[1] / middle : 0, slow
        exit slow > 0 || n == 0
      }'
}

"$TRITSTACK" bench --config tests/tools/shapes/Qwen3-0.6B.json --planes 1 -p 0 -n 0 \
  --save "$folder/model.trit" || exit 1
measure "quiet"
stalled=$?
for _ in $(seq "$(getconf _NPROCESSORS_ONLN)"); do
  (while :; do :; done) &
  busy="$busy $!"
done
measure "beside a busy process per core" && [ "$stalled" = 0 ]
