pyheap threads -h
