echo old > $OUT/r; pyheap top in/new.json -o $OUT/r; echo $?; cat $OUT/r; ls -A $OUT
