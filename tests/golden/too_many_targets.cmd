pyheap top 1 2
