pyheap top in/new.json -o $OUT/none/r
