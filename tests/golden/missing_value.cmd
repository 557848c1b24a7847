pyheap top 4711 -n
