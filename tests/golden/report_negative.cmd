pyheap diff in/negative.json in/old.json
