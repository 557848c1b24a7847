pyheap why in/why.json
