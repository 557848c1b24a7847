pyheap explain in/interps_explain.json
