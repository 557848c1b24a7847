pyheap cycles -f csv in/cycles.json
