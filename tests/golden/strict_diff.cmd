pyheap diff --strict -f csv -n 1 in/old.json in/estimated.json --max-growth 1
