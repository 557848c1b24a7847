pyheap tpo 4711
