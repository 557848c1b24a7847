exec 3>&1; sleep 60 & pid=$!; pyheap top $pid 2>&1 >&3 | sed "s/$pid/PID/" >&2; kill $pid
