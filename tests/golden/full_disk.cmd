pyheap top in/new.json > /dev/full
