pyheap top --json -n 3 in/new.json
