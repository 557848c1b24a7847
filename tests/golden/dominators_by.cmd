pyheap dominators in/dominators_by.json -n 5
