-- The ceiling of the benchmark: every request is a deletion.
wrk.method = "DELETE"
