pyheap objects --roots=all 1
