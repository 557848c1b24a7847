pyheap diff in/old.json in/cut.json
