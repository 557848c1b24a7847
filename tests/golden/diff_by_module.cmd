pyheap diff --by module in/path1.json in/old.json
