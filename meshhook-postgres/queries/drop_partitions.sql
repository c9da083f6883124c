-- Catalogue and live_runs; locks the parents for a moment.
SELECT meshhook.drop_partitions(to_timestamp($1 / 1e6))::bigint AS dropped
