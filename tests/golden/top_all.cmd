pyheap top -n 0 --sort count in/many.json
