pyheap explain -h
