pyheap cycles --no-retained 4711
