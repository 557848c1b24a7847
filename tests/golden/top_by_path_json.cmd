pyheap top in/path3.json --json -n 3
