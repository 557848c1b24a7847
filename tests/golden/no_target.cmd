pyheap top
