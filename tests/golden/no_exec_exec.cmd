pyheap objects --exec --no-exec no-such-file
