pyheap top in/cycles.json
