pyheap diff --interpreter 3 in/interps_whole3.json in/interps_whole.json
