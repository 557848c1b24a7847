NO_COLOR=1 pyheap top -n 2 --color always in/incomplete.json
