pyheap snapshot 1
