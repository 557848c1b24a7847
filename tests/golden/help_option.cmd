pyheap --help | cmp - help.out
