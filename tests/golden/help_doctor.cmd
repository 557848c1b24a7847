pyheap doctor -h
