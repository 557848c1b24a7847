pyheap cycles in/nocycles.json
