pyheap diff in/old.json in/notjson.json
