pyheap top in/why.json
