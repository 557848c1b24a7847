pyheap dominators in/dominators.json --by path
