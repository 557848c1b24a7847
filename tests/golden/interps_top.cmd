pyheap top in/interps_top.json
