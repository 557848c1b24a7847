pyheap help -n 3
