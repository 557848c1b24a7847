pyheap diff in/old.json in/other.json
