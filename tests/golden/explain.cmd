pyheap explain in/explain.json
