pyheap objects -h
