pyheap why in/why_type.json -f csv
