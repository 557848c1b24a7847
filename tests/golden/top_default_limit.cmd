pyheap top in/many.json
