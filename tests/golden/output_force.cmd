echo old > $OUT/r; pyheap top -n 1 --no-header in/new.json -o $OUT/r --force && cat $OUT/r; ls -A $OUT
