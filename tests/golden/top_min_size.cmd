pyheap top --min-size 1M in/new.json
