pyheap diff in/old.json in/cycles.json
