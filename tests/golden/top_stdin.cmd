pyheap top -n 1 - < in/new.json
