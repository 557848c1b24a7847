pyheap help nothing
