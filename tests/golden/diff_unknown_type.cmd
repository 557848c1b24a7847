pyheap diff in/old.json in/new.json -n 1 --no-header --max-count shop.Crat=5
