pyheap help
