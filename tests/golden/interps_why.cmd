pyheap why in/interps_why.json
