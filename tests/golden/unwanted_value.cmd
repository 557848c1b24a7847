pyheap top --json=yes 4711
