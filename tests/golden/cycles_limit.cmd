pyheap cycles -n 1 --no-header in/cycles.json
