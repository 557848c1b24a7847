pyheap completions -h
