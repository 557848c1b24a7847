pyheap top --format yaml 4711
