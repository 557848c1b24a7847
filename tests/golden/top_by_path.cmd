pyheap top in/path3.json
