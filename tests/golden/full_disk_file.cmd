pyheap top in/new.json -o /dev/full
