pyheap layout in/new.json
