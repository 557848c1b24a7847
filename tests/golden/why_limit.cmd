pyheap why in/why_type.json -n 3 --sort count --no-header
