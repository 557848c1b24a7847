pyheap threads in/threads.json --json -n 1
