pyheap dominators in/dominators.json --json
