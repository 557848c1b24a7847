pyheap top --json in/new.json | cmp - in/new.json
