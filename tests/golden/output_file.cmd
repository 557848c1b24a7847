pyheap top --json in/new.json -o $OUT/r.json && cmp $OUT/r.json in/new.json && ls -A $OUT
