pyheap diff in/old.json in/new.json --no-header --sort count -n 3 --bytes
