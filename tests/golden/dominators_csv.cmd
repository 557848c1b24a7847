pyheap dominators in/dominators.json -f csv
