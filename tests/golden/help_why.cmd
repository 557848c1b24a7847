pyheap why -h
