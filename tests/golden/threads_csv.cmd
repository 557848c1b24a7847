pyheap threads in/threads.json -f csv
