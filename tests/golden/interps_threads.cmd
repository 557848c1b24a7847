pyheap threads in/interps_threads.json
