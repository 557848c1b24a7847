pyheap top -f csv in/new.json
