pyheap top in/interps_top3.json
