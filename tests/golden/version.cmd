pyheap --version
