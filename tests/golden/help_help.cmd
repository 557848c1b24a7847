pyheap help -h
