pyheap cycles -f csv in/interps_cycles.json
