pyheap completions csh
