pyheap diff in/old.json in/new.json in/later.json -f csv -n 3
