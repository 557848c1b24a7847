pyheap top -Z 4711
