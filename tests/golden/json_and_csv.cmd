pyheap top --json --format csv in/new.json
