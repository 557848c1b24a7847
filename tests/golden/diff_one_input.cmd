pyheap diff in/old.json
