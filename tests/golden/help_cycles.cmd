pyheap cycles -h
