pyheap cycles in/cycles.json
