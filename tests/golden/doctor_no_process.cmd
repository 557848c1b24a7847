pyheap doctor 999999999
