pyheap top -n many 4711
