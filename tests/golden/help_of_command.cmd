pyheap help top | cmp - help_top.out
