pyheap snapshot -h
