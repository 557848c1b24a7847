pyheap top in/readme.txt
