pyheap help > /dev/full
