pyheap dominators in/dominators_of.json
