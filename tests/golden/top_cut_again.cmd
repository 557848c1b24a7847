pyheap top --json -n 1 in/cut.json
