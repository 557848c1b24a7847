pyheap diff in/old.json in/new.json in/later.json -n 4
