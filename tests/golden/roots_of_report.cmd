pyheap objects --roots -f jsonl in/new.json
