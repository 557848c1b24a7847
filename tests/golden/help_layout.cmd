pyheap layout -h
