pyheap top -n 1 --strict in/new.json
