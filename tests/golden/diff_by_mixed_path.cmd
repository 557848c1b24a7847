pyheap diff --by path in/path1.json in/old.json
