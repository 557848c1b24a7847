pyheap explain in/explain.json --json
