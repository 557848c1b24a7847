pyheap top -n 2 in/incomplete.json
