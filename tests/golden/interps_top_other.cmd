pyheap top --interpreter 3 in/interps_top.json
