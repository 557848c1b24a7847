pyheap dominators -h
