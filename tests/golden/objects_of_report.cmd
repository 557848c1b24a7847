pyheap objects in/new.json
