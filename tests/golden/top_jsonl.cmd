pyheap top -f jsonl -n 3 in/new.json
