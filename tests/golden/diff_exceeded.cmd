pyheap diff in/old.json in/new.json -n 1 --max-growth 10% --max-growth-bytes 1M --max-count shop.Cart=5000
