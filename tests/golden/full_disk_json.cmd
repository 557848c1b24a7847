pyheap diff in/old.json in/new.json --json > /dev/full
