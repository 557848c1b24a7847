pyheap cycles in/interps_cycles.json
