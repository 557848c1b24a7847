pyheap top --nonsense 4711
