printf "PYHEAPSN\002\000\000\000 a snapshot of a version that is not known yet, long enough" >$OUT/new
pyheap top $OUT/new
