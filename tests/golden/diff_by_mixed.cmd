pyheap diff in/path1.json in/old.json
