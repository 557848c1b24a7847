pyheap diff in/old.json in/old.json --max-growth 0 --max-growth-bytes 0
