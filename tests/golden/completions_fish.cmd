pyheap completions fish | head -n 4
