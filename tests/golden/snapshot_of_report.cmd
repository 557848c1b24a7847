pyheap snapshot in/old.json -o $OUT/x
