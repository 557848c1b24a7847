pyheap doctor --json in/readme.txt
