pyheap why in/why.json --json
