pyheap top -n 1 --strict in/estimated.json
