pyheap diff in/old.json in/noretained.json -n 3
