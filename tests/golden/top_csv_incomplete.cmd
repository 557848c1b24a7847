pyheap top -f csv -n 1 --no-header in/incomplete.json
