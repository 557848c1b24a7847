pyheap top in/nothing.core
