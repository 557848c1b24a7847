pyheap dominators in/dominators.json
