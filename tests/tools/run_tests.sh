#!/bin/sh
# Runs the test programs of the rooms named and adds up their closing lines
# "<room>: N passed, N failed, N skipped"; the last line printed is the sum. Needs BUILD, TRITSTACK.
passed=0 failed=0 skipped=0
for room in "$@"; do
  log=$BUILD/test_$room.log
  if ! "$BUILD/test_$room" >"$log" 2>&1; then
    cat "$log"
  fi
  line=$(grep -E '^[a-z_]+: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
  if [ -z "$line" ]; then  # a crash: no closing line
    echo "$room: crashed"
    failed=$((failed + 1))
    continue
  fi
  grep '^SKIPPED' "$log"
  echo "$line"
  # shellcheck disable=SC2086
  set -- $line
  passed=$((passed + $2)) failed=$((failed + $4)) skipped=$((skipped + $6))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
