pyheap dominators -f csv in/interps_dominators.json
