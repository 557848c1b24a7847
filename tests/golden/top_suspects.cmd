pyheap top in/suspects.json
