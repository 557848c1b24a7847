pyheap why in/interps_why3.json
