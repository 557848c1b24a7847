pyheap diff in/interps_whole.json in/interps_whole3.json
