pyheap why in/why_type.json
