pyheap top -n 2 --bytes in/new.json
