pyheap
