pyheap diff in/old.json in/future.json
