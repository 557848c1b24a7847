pyheap diff -h
