pyheap top --roots in/new.json
