pyheap top -n 1 --strict -f csv in/incomplete.json -o $OUT/r; echo $?; cat $OUT/r
