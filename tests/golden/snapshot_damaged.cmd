printf "PYHEAPSN\001\000\000\000 and then nothing that makes sense, for at least as long as a head and an end are" >$OUT/bad
pyheap top $OUT/bad
