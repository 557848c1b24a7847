pyheap diff --by path in/path1.json in/path2.json in/path3.json
