pyheap top -n 1 --strict in/incomplete.json
