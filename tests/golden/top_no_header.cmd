pyheap top --no-header in/new.json
