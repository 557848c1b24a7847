pyheap cycles -f jsonl --sort count in/cycles.json
