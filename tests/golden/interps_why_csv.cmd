pyheap why -f csv in/interps_why.json
