pyheap top --json in/interps_top.json
