pyheap top --no-exec --verify no-such-file
