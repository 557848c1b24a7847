pyheap dominators in/interps_dominators.json
