pyheap top -n 3 in/noretained.json
