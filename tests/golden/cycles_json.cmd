pyheap cycles --json -n 1 in/cycles.json
