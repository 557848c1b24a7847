pyheap completions fish > /dev/full
