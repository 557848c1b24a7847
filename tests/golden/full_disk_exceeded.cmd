pyheap diff in/old.json in/new.json --max-growth 1 > /dev/full
