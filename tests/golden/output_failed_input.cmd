pyheap top in/notjson.json -o $OUT/r; echo $?; ls -A $OUT
