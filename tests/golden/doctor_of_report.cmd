pyheap doctor in/new.json
