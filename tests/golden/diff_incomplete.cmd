pyheap diff in/old.json in/incomplete.json -n 1
