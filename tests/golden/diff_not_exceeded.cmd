pyheap diff in/old.json in/new.json -n 1 --max-growth 300 --max-growth-bytes 1G --max-count shop.Cart=10012
