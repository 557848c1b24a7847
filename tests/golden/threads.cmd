pyheap threads in/threads.json
