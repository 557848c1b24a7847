pyheap threads in/threads.json -n 0 --no-header
