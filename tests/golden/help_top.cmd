pyheap top -h
