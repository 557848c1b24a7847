pyheap diff in/old.json in/new.json --sort beauty
