pyheap 4711
