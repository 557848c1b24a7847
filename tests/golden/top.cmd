pyheap top in/new.json
