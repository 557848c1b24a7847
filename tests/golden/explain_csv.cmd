pyheap explain in/explain.json -f csv
