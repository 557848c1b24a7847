pyheap top --interpreter 3 -n 1 in/interps_top3.json
